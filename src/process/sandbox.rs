//! A fence around a command, by Landlock (Linux 5.13): it writes to its own folder and to devices only, and reads everything but
//! the secrets of its pod. What it starts stays inside.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, path_beneath_rules,
};

/// Rights that are known; a kernel that knows fewer is asked for those.
const RIGHTS: ABI = ABI::V6;

/// Where containers have their secrets: `/var/run` is a link to it.
const RUN: &str = "/run";
const SECRETS: &str = "secrets";

/// Devices, among them what programs throw away, and memory that they share.
const DEVICES: &str = "/dev";

/// Whether the kernel can do this.
pub(crate) fn is_available() -> bool {
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    rules
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok()
}

/// Fences this process in, for good, as far as the kernel can.
pub(super) fn enter(folder: &Path) -> io::Result<()> {
    let fenced = Ruleset::default()
        .handle_access(AccessFs::from_all(RIGHTS))
        .and_then(Ruleset::create)
        .and_then(|rules| {
            rules.add_rules(path_beneath_rules(readable(), AccessFs::from_read(RIGHTS)))
        })
        .and_then(|rules| {
            let writable = [folder, Path::new(DEVICES)];
            rules.add_rules(path_beneath_rules(writable, AccessFs::from_all(RIGHTS)))
        })
        .and_then(landlock::RulesetCreated::restrict_self);
    fenced.map(drop).map_err(io::Error::other)
}

/// Everything but the secrets. A right holds for all that is below a folder, so those beside them have to be named.
fn readable() -> Vec<PathBuf> {
    let inside = |folder: &str, but: &str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let entries = entries.filter(|entry| entry.file_name() != but);
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut all = inside("/", &RUN[1..]);
    all.extend(inside(RUN, SECRETS));
    all
}
