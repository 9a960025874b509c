//! A program of the user's that looks at an item.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use batch_plan::Resolved;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::subjects::Subject;

/// Longest time that it may take for one item.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of what it says last that are kept.
const TAIL: usize = 4096;

/// Why the program finds the item wrong; nothing if it does not.
pub(super) async fn look(words: &[String], item: &Value) -> Option<String> {
    let ended = tokio::time::timeout(PATIENCE, run(words, item)).await;
    match ended {
        Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => {
            let program = words.first().map_or("", String::as_str);
            Some(format!("{program} cannot be run: {error}"))
        }
        Ok(Ok((status, _))) if status.success() => None,
        Ok(Ok((status, said))) if said.is_empty() => Some(status.to_string()),
        Ok(Ok((_, said))) => Some(said),
    }
}

/// The item as it is given to the program.
pub(super) fn to_json(plan: &Resolved, subject: &Subject) -> Value {
    let job = &subject.job;
    let stage = &plan.stages()[job.stage];
    let vars = match (&subject.row, plan.grid(job.stage)) {
        (Some(row), _) => row.vars.clone(),
        (None, Some(range)) => {
            let names = range.axes.iter().map(|axis| axis.name.clone());
            let point = range.point(job.item).into_iter().map(Value::from);
            names.zip(point).collect()
        }
        (None, None) => Map::new(),
    };
    let fields = job.fields.iter().cloned();
    let fields: Map<_, _> = fields.map(|(name, value)| (name, value.into())).collect();
    json!({
        "batch": plan.name(),
        "stage": stage.name,
        "queue": stage.queue,
        "item": job.item,
        "id": job.id,
        "input": job.input,
        "fields": fields,
        "vars": vars,
    })
}

/// How it has ended, and its last word on standard error.
async fn run(words: &[String], item: &Value) -> io::Result<(ExitStatus, String)> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| io::Error::other("there is no program"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stderr = child.stderr.take();
    let ((), said) = tokio::join!(tell(&mut child, item), last_line(stderr));
    Ok((child.wait().await?, said?))
}

/// A program need not read what it is told.
async fn tell(child: &mut Child, item: &Value) {
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(format!("{item}\n").as_bytes()).await;
    }
}

async fn last_line(stream: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let Some(mut stream) = stream else {
        return Ok(String::new());
    };
    let mut tail = Vec::new();
    while stream.read_buf(&mut tail).await? > 0 {
        let surplus = tail.len().saturating_sub(TAIL);
        tail.drain(..surplus);
    }
    let text = String::from_utf8_lossy(&tail);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    Ok(last.unwrap_or_default().trim().to_owned())
}
