//! The examples in Python, shell and R, run by the real program on inputs with known results. `scripts/need-interpreters` brings
//! what they run on; where that is missing these tests fail and say so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::rehearsals::rehearse;

/// An image of eight pixels: two are white, one is less than half as bright.
const IMAGE: &str = "P2 4 2 255\n255 0 0 0\n255 100 0 0\n";

/// A process for the job, and one for two jobs.
const MODES: [&[&str]; 2] = [&[], &["--persistent", "--repeat", "2"]];

/// An example that was tried.
struct Tried {
    status: i32,
    said: String,
    /// What it has left.
    results: tempfile::TempDir,
}

impl Tried {
    fn result(&self, name: &str) -> Vec<u8> {
        let path = self.results.path().join(name);
        fs::read(path).unwrap_or_else(|error| panic!("{name}: {error}\n{}", self.said))
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.result(name)).expect("text")
    }

    /// That it was done.
    fn done(self) -> Self {
        assert_eq!(self.status, 0, "{}", self.said);
        self
    }

    /// That it failed with this class, and said this.
    fn refused(&self, text: &str) {
        assert_eq!(self.status, 4, "{}", self.said);
        let last = self.said.lines().last().unwrap_or_default();
        assert!(
            last.contains(": invalid_input: ") && last.contains(text),
            "{}",
            self.said
        );
    }
}

/// Tries a command in the folder of an example, as its README does.
fn try_out(example: &str, command: &str, input: &Path, more: &[&str]) -> Tried {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/exec");
    let results = tempfile::tempdir().expect("a folder");
    let [input, keep] = [input, results.path()].map(|path| path.to_str().expect("a path"));
    let command: &[&str] = &["--command", command, "--keep", keep];
    let arguments = [command, more, &["--", input]].concat();
    let (status, said) = rehearse(&folder.join(example), &arguments);
    Tried {
        status,
        said,
        results,
    }
}

/// A folder with a file of this name, which nobody would choose.
fn input(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, content).expect("a file");
    (folder, path)
}

/// That a program can be run; its tests cannot pass without it.
fn needed(program: &str, arguments: &[&str]) {
    let found = Command::new(program).args(arguments).output();
    let runs = found.is_ok_and(|output| output.status.success());
    assert!(
        runs,
        "`{program} {}` cannot be run, so its example was not tried: run scripts/need-interpreters",
        arguments.join(" ")
    );
}

#[test]
fn python_once_and_warm() {
    needed("python3", &["--version"]);
    let (_folder, bright) = input("a; b's 1.bin", &[255; 7]);
    let (_empty, empty) = input("empty.bin", &[]);
    for mode in MODES {
        let tried = try_out("python", "python3 bright.py", &bright, mode).done();
        assert_eq!(tried.text("bright.csv"), "name,bright\na; b's 1.bin,7\n");
        try_out("python", "python3 bright.py", &empty, mode).refused("empty.bin is empty");
    }
}

#[test]
fn imagemagick_without_a_script() {
    needed("convert", &["-version"]);
    let (_folder, image) = input("a; b's 1.pgm", IMAGE.as_bytes());
    let command = "convert {input} -negate -compress none {output}/{stem}.pgm";
    let tried = try_out("shell", command, &image, &[]).done();
    let left = tried.text("a; b's 1.pgm");
    let numbers: Vec<_> = left.split_ascii_whitespace().collect();
    assert_eq!(numbers.join(" "), "P2 4 2 255 0 255 255 255 0 155 255 255");
}

#[test]
fn a_shell_script_with_imagemagick() {
    needed("convert", &["-version"]);
    let (_folder, image) = input("a; b's 1.pgm", IMAGE.as_bytes());
    let (_text, no_image) = input("a.pgm", b"no image");
    for (threshold, covered) in [("", "25"), ("30", "37.5")] {
        let field = format!("threshold={threshold}");
        let tried = try_out("shell", "sh mask.sh", &image, &["--field", &field]).done();
        assert_eq!(tried.text("covered.csv"), format!("covered\n{covered}\n"));
        assert!(!tried.result("mask.tif").is_empty());
        let shown = format!("x_covered = {covered}");
        assert!(tried.said.contains(&shown), "{}", tried.said);
        assert!(tried.said.contains("50 % thresholding"), "{}", tried.said);
    }
    try_out("shell", "sh mask.sh", &no_image, &[]).refused("exit status 65");
}

#[test]
fn r_once_and_warm() {
    needed("Rscript", &["-e", "library(jsonlite)"]);
    let (_folder, cells) = input("a; b's 1.csv", b"label,area\n1,10\n2,20\n3,30\n");
    let (_other, other) = input("other.csv", b"label,perimeter\n1,10\n");
    for mode in MODES {
        let tried = try_out("r", "Rscript summary.R", &cells, mode).done();
        let expected = "\"cells\",\"mean\",\"median\",\"sd\"\n3,20,20,10\n";
        assert_eq!(tried.text("summary.csv"), expected);
        assert!(tried.result("areas.pdf").starts_with(b"%PDF"));
        let refused = try_out("r", "Rscript summary.R", &other, mode);
        refused.refused("other.csv has no column of numbers called area");
    }
}
