//! The keys of the page, in one table: Help shows it, `?` opens it, and `assets/scripts/keys.js` does what it says.

/// Keys that do something, under one heading.
#[derive(Debug)]
pub(super) struct KeyGroup {
    pub(super) heading: &'static str,
    pub(super) keys: &'static [Key],
}

/// Keys with what they do.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) keys: &'static [&'static str],
    pub(super) text: &'static str,
}

impl Key {
    const fn new(keys: &'static [&'static str], text: &'static str) -> Self {
        Self { keys, text }
    }
}

/// All of them but those of pages, which are beside their names in `layout`.
pub(super) static KEYS: [KeyGroup; 4] = [
    KeyGroup {
        heading: "Everywhere",
        keys: &[Key::new(&["?"], "this list"), Key::new(&["/"], "search")],
    },
    KeyGroup {
        heading: "In a list",
        keys: &[
            Key::new(&["j", "k"], "next and previous row"),
            Key::new(&["Enter"], "open the row"),
            Key::new(&["x"], "mark the row, or take its mark away"),
            Key::new(&["r"], "requeue the marked jobs; asks first"),
        ],
    },
    KeyGroup {
        heading: "On the page of a job",
        keys: &[
            Key::new(
                &["[", "]"],
                "previous and next job of the list that you came from",
            ),
            Key::new(&["r"], "requeue it; asks first"),
            Key::new(&["c"], "cancel it; asks first"),
        ],
    },
    KeyGroup {
        heading: "In the picture of a job",
        keys: &[
            Key::new(&["+", "-", "0"], "closer, farther, the whole image"),
            Key::new(&["←", "↑", "→", "↓"], "move it, once it has the focus"),
            Key::new(
                &["Enter"],
                "tell the cell in the middle, once it has the focus",
            ),
            Key::new(&["l"], "labels on and off"),
            Key::new(&["o"], "labels as outlines or areas"),
            Key::new(&["1", "9"], "channels 1 to 9 on and off"),
            Key::new(&[",", "."], "previous and next frame"),
        ],
    },
];
