//! What the header of an image tells, of which a few kilobytes are read.

use crate::figures::size;
use crate::storage::Storage;
use crate::submission::{axes_of, header_of, length};

/// Orders of axes by their number, as jobs name them.
const ORDERS: [(usize, &[&str]); 3] = [
    (2, &["XY"]),
    (3, &["XYC", "CXY", "BXY", "XYB"]),
    (4, &["BXYC", "CXYB"]),
];

/// The order that the form of a Kiosk's frontend begins with. It is that of three axes.
pub(super) const USUAL_ORDER: &str = "XYB";

/// What an image is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inspected {
    /// Its axes, such as `2 × 512 × 512`.
    pub(super) shape: String,
    /// The type of its samples.
    pub(super) sample: String,
    /// The order of its axes, as far as it can be told, or as somebody says.
    pub(super) order: Option<String>,
    /// Whether nothing but custom tells it.
    pub(super) is_usual: bool,
    /// What the order may be.
    pub(super) orders: Vec<&'static str>,
    /// In that order; 1 if it cannot be told.
    pub(super) channels: u64,
    pub(super) frames: u64,
    /// What decoding it takes, in words.
    pub(super) takes: String,
}

impl Inspected {
    /// What an object is like if its axes are in this order, or in the one that its file tells; or why it is no image. If that does
    /// not tell, and nobody has chosen either, they are in the usual order.
    pub(super) async fn of(
        storage: &Storage,
        key: &str,
        (order, is_chosen): (Option<&str>, bool),
    ) -> Result<Self, String> {
        let header = header_of(storage, key).await?;
        let rank = header.shape.len();
        let fitting = order.filter(|order| order.chars().count() == rank);
        let guess = axes_of(&header, None);
        let is_unknown = fitting.is_none() && guess.is_none() && !is_chosen;
        let usual = Some(USUAL_ORDER).filter(|usual| is_unknown && usual.len() == rank);
        let order = fitting.or(usual).map(str::to_owned).or(guess);
        let shape: Vec<_> = header.shape.iter().map(ToString::to_string).collect();
        let count = |letter| {
            let axes = order.as_deref().unwrap_or_default();
            length(axes, &header.shape, letter)
        };
        let known = ORDERS.iter().find(|(axes, _)| *axes == rank);
        Ok(Self {
            channels: count('C'),
            frames: count('B'),
            shape: shape.join(" × "),
            orders: known.map_or_else(Vec::new, |(_, orders)| orders.to_vec()),
            takes: size(header.peak_bytes.max(header.decoded_bytes()) as f64),
            sample: header.sample,
            is_usual: usual.is_some(),
            order,
        })
    }
}
