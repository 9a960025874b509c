//! A terminal for commands that look different there.

use std::fs;
use std::io::Read as _;
use std::process::{Command, ExitStatus, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// How a command ends, and what a terminal of this kind shows of its standard error.
pub(crate) fn show(mut command: Command, kind: &str) -> (ExitStatus, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("it is ours");
    unlockpt(&terminal).expect("it is open");
    let name = ptsname(&terminal, Vec::new()).expect("it has a name");
    let name = name.into_string().expect("a path");
    let screen = fs::File::options()
        .read(true)
        .write(true)
        .open(&name)
        .expect("its other end");
    let mut child = command
        .env("TERM", kind)
        .stdout(Stdio::null())
        .stderr(screen)
        .spawn()
        .expect("the program starts");
    // It has the other end as well.
    drop(command);
    let reader = std::thread::spawn(move || {
        let (mut terminal, mut shown) = (fs::File::from(terminal), Vec::new());
        // It ends with an error when nobody has the other end any more.
        let _ = terminal.read_to_end(&mut shown);
        shown
    });
    let status = child.wait().expect("it ends");
    let shown = reader.join().expect("it was read");
    (status, String::from_utf8_lossy(&shown).into_owned())
}
