//! A command as a consumer: it does its work, but dies, hangs, gives up for now, or starts what gets away, whenever it likes.

use std::fs;
use std::path::Path;

/// The queue of its jobs.
pub(crate) const QUEUE: &str = "commands";

/// The field of a job that says how the command fares with it.
pub(crate) const FATE: &str = "fate";
/// It takes more memory than it may, each time.
pub(crate) const LEAK: &str = "leak";

/// How long it sleeps when it hangs: by this number its processes are found.
const SECONDS: &str = "86399987";

/// Once or for many jobs, the same: a line of JSON for each. Of items of the plan it notes when it begins and ends.
const SCRIPT: &str = r#"
while read -r line; do
  get() { rest=${line#*\"$1\":\"}; printf '%s' "${rest%%\"*}"; }
  id=$(get id) out=$(get output) in=$(get path)
  case "$line" in *'"fate":"leak"'*)
    leaked=$(head -c 400000000 /dev/zero | tr '\0' x)
    sleep SECONDS ;;
  esac
  layer=; case "$line" in *'"layer":"'*) layer=$(get layer) ;; esac
  note() { [ -z "$layer" ] || echo "$1 $layer $(get x) $(get y) $(get z) $(date +%s%N)" >> "$HOME/items"; }
  note start
  luck=$(od -An -N1 -tu1 /dev/urandom)
  if [ "$luck" -lt 15 ]; then kill -9 $$
  elif [ "$luck" -lt 25 ]; then sleep SECONDS
  elif [ "$luck" -lt 35 ]; then echo "::fail $id unavailable not now"; [ "$RC_MODE" = once ] && exit 0; continue
  elif [ "$luck" -lt 60 ]; then (setsid sleep SECONDS >/dev/null 2>&1 &)
  elif [ "$luck" -lt 85 ]; then sleep SECONDS &
  fi
  echo "::progress $id 50 half of it"
  cp "$in" "$out/copy.tif"
  note end
  echo "::done $id"
done
"#;

/// The settings of a consumer that runs it, kept or not; its notes are in this folder.
pub(crate) fn settings(mode: &str, home: &Path) -> Vec<(&'static str, String)> {
    [
        ("CONSUMER_TYPE", "exec".to_owned()),
        (
            "PATH",
            option_env!("PATH").unwrap_or("/usr/bin:/bin").to_owned(),
        ),
        ("HOME", home.display().to_string()),
        ("EXEC_COMMAND", SCRIPT.replace("SECONDS", SECONDS)),
        ("EXEC_SHELL", "true".to_owned()),
        ("EXEC_MODE", mode.to_owned()),
        ("EXEC_TIMEOUT", "2".to_owned()),
        ("EXEC_READY", "2".to_owned()),
        ("EXEC_MEMORY", "100Mi".to_owned()),
        ("EXEC_STOP_GRACE", "0.2".to_owned()),
        ("EXEC_MAX_JOBS", "50".to_owned()),
    ]
    .into()
}

/// How many of its processes run on this machine.
pub(crate) fn processes() -> usize {
    let pids = fs::read_dir("/proc").expect("linux").flatten();
    let lines = pids.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(SECONDS))
        .count()
}
