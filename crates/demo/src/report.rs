//! What the demo prints at its end. Pure.

use std::fmt::{self, Display};
use std::path::PathBuf;

use crate::iou::Agreement;
use crate::networks::Network;

/// Everything worth telling about a finished job.
pub(crate) struct Report {
    pub(crate) network: Network,
    pub(crate) cells: usize,
    /// What each stage took, in seconds.
    pub(crate) seconds: Vec<(&'static str, f64)>,
    pub(crate) agreement: Option<Agreement>,
    pub(crate) archive: PathBuf,
    /// Names of the archive's entries.
    pub(crate) entries: Vec<String>,
    pub(crate) overlay: PathBuf,
    pub(crate) logs: PathBuf,
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{} cells\n", self.cells)?;
        for (stage, seconds) in &self.seconds {
            writeln!(f, "  {stage:<20}{seconds:>8.3} s")?;
        }
        if let Some(agreement) = &self.agreement {
            write_agreement(f, agreement)?;
        }
        writeln!(f, "\n  picture   {}", self.overlay.display())?;
        writeln!(f, "  archive   {}", self.archive.display())?;
        for entry in &self.entries {
            writeln!(f, "              {entry}")?;
        }
        writeln!(f, "  logs      {}", self.logs.display())?;
        write_networks(f, self.network)?;
        writeln!(f, "\nWith an image of your own: make demo IMAGE=my.tif")?;
        writeln!(f, "With models of your own: see docs/models.md")
    }
}

/// What has segmented the image, and how good it and the other are.
fn write_networks(f: &mut fmt::Formatter<'_>, network: Network) -> fmt::Result {
    let (other, command) = match network {
        Network::Trained => (Network::Classical, "make demo MODEL=classical"),
        Network::Classical => (Network::Trained, "make demo"),
    };
    writeln!(f, "\nThe model here is {}.", network.about())?;
    writeln!(f, "The other is {}: {command}", other.about())?;
    writeln!(f, "\n  F1 on the two images that come with the project\n")?;
    for (name, network) in [
        ("trained network", Network::Trained),
        ("classical stand-in", Network::Classical),
    ] {
        let [first, second] = network.scores();
        writeln!(f, "  {name:<20}{first:>8.3}{second:>8.3}")?;
    }
    Ok(())
}

fn write_agreement(f: &mut fmt::Formatter<'_>, agreement: &Agreement) -> fmt::Result {
    writeln!(
        f,
        "\ncompared with the {} cells of the ground truth\n",
        agreement.expected
    )?;
    writeln!(f, "  {:<20}{:>8}", "found", agreement.found)?;
    writeln!(f, "  {:<20}{:>8}", "matched (IoU > 0.5)", agreement.matched)?;
    writeln!(f, "  {:<20}{:>8.3}", "F1", agreement.f1())?;
    match agreement.mean_iou() {
        Some(mean) => writeln!(f, "  {:<20}{mean:>8.3}", "mean IoU of matches"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_report_names_what_was_asked_for() {
        let labels = array![[1, 1, 0, 2]];
        let report = Report {
            network: Network::Classical,
            cells: 2,
            seconds: vec![("predicting", 0.25), ("in all", 1.5)],
            agreement: Some(Agreement::of(labels.view(), labels.view())),
            archive: "demo-output/result.zip".into(),
            entries: vec!["a_batch_0_feature_0.tif".to_owned()],
            overlay: "demo-output/overlay.png".into(),
            logs: "demo-output/logs".into(),
        };
        let text = report.to_string();
        for part in [
            "2 cells",
            "0.250 s",
            "1.500 s",
            "matched (IoU > 0.5)        2",
            "1.000",
            "result.zip",
            "feature_0",
            "overlay.png",
            "not a trained network",
        ] {
            assert!(text.contains(part), "`{part}` is missing in\n{text}");
        }
    }
}
