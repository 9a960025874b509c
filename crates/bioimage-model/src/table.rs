//! Numbers that are looked up by the place of an element.

/// Numbers that are looked up by the place of an element: one for all, or one for each place along some axes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    numbers: Vec<f64>,
    /// Numbers from one place to the next, for each axis of the tensor.
    strides: Vec<usize>,
}

impl Table {
    /// Numbers row by row; the strides of the tensor's axes fit them.
    pub(crate) fn new(numbers: Vec<f64>, strides: Vec<usize>) -> Self {
        Self { numbers, strides }
    }

    /// One number for all.
    pub(crate) fn one(number: f64) -> Self {
        Self::new(vec![number], Vec::new())
    }

    /// One number for each place along an axis.
    pub(crate) fn along(axis: usize, numbers: Vec<f64>) -> Self {
        let mut strides = vec![0; axis];
        strides.push(1);
        Self::new(numbers, strides)
    }

    /// The same table of other numbers.
    pub(crate) fn map(mut self, change: impl Fn(f64) -> f64) -> Self {
        self.numbers
            .iter_mut()
            .for_each(|number| *number = change(*number));
        self
    }

    /// The numbers along a lane: `outer` is its place along the tensor's other axes.
    pub(crate) fn lane(&self, lane_axis: usize, outer: &[usize]) -> Lane<'_> {
        let stride = |axis: usize| self.strides.get(axis).copied().unwrap_or(0);
        let places = outer.iter().enumerate();
        let start = places.map(|(index, place)| {
            let axis = index + usize::from(index >= lane_axis);
            place * stride(axis)
        });
        Lane {
            numbers: &self.numbers,
            start: start.sum(),
            stride: stride(lane_axis),
        }
    }
}

/// The numbers along a lane.
#[derive(Clone, Copy)]
pub(crate) struct Lane<'t> {
    numbers: &'t [f64],
    start: usize,
    stride: usize,
}

impl Lane<'_> {
    /// Whether it is one number.
    pub(crate) fn is_constant(&self) -> bool {
        self.stride == 0
    }

    /// The number at a place of the lane; NaN beyond the table.
    pub(crate) fn at(&self, index: usize) -> f64 {
        let place = self.start + index * self.stride;
        self.numbers.get(place).copied().unwrap_or(f64::NAN)
    }
}
