//! What `redis-consumer check` says of a command, without running it.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::settings::ExecSettings;
use crate::consumer::{Finding, Verdict};
use crate::memory;

/// What the daemon itself takes of its container.
const DAEMON: u64 = 100 << 20;

pub(super) fn of(settings: &ExecSettings) -> Vec<Finding> {
    let mut findings = vec![program(settings)];
    findings.extend(script(settings));
    findings.extend(room(settings, memory::container_limit()));
    findings
}

/// Whether there is such a program.
fn program(settings: &ExecSettings) -> Finding {
    let program = settings.command.program();
    let path = settings.environment.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or(OsStr::new("/usr/bin:/bin"), |(_, path)| OsStr::new(path));
    let (verdict, text) = match found(program, path) {
        Some(file) => (Verdict::Ok, format!("`{program}` is {}", file.display())),
        None => {
            let text = format!(
                "there is no program `{program}` that can be run: jobs wait until there is (EXEC_COMMAND, PATH)"
            );
            (Verdict::Wrong, text)
        }
    };
    Finding {
        part: "command",
        verdict,
        text,
    }
}

/// Whether there is what it is to run.
fn script(settings: &ExecSettings) -> Option<Finding> {
    let file = settings.command.missing_script()?;
    Some(Finding {
        part: "command",
        verdict: Verdict::Wrong,
        text: format!("there is no file `{file}`: jobs wait until there is (EXEC_COMMAND)"),
    })
}

fn found(program: &str, path: &OsStr) -> Option<PathBuf> {
    let is_program = |file: &Path| {
        let found = file.metadata();
        found.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let files: Vec<_> = match program.contains('/') {
        true => vec![PathBuf::from(program)],
        false => env::split_paths(path)
            .map(|folder| folder.join(program))
            .collect(),
    };
    files.into_iter().find(|file| is_program(file))
}

/// Whether the container can hold all commands at once: if it cannot, it is killed as a whole.
fn room(settings: &ExecSettings, container: Option<u64>) -> Option<Finding> {
    let (container, each) = (container?, settings.memory?);
    let wanted = each
        .saturating_mul(settings.slots as u64)
        .saturating_add(DAEMON);
    let [wanted_mib, has_mib] = [wanted, container].map(|bytes| bytes >> 20);
    (wanted > container).then(|| Finding {
        part: "memory",
        verdict: Verdict::Warning,
        text: format!(
            "the commands of all slots may take {wanted_mib} MiB with the daemon, and the container has {has_mib} MiB: it would be killed as a whole (EXEC_MEMORY, CONCURRENCY)"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Env, Loader};

    fn settings(command: &str) -> ExecSettings {
        let env: Env = [
            ("EXEC_COMMAND", command),
            ("EXEC_MEMORY", "1Gi"),
            ("PATH", "/nowhere:/usr/bin:/bin"),
        ]
        .into_iter()
        .collect();
        ExecSettings::load(&mut Loader::new(&env))
    }

    #[test]
    fn programs_are_looked_for_as_they_are_when_they_are_started() {
        assert_eq!(program(&settings("sh -c true")).verdict, Verdict::Ok);
        assert_eq!(program(&settings("/bin/sh")).verdict, Verdict::Ok);
        for wrong in ["pyhton3 cells.py", "/etc/passwd", "/bin"] {
            assert_eq!(program(&settings(wrong)).verdict, Verdict::Wrong, "{wrong}");
        }
    }

    #[test]
    fn scripts_are_looked_for_too() {
        let missing = |command: &str| script(&settings(command)).is_some();
        assert!(missing("python3 /opt/segmnt.py") && missing("Rscript nowhere.R --vanilla"));
        assert!(!missing("python3 {output}/x.py") && !missing("sh -c 'run x.py'"));
        assert!(!missing("python3 -m cells") && !missing("python3 Cargo.toml"));
    }

    #[test]
    fn a_container_that_is_too_small_is_told() {
        let mut commands = settings("sh");
        commands.slots = 2;
        assert_eq!(room(&commands, Some(3 << 30)), None);
        assert_eq!(room(&commands, None), None);
        let found = room(&commands, Some(2 << 30)).expect("it is too small");
        assert!(found.text.contains("2148 MiB") && found.text.contains("2048 MiB"));
    }
}
