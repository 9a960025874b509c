//! The web page of the demo, on which people look at the result in a browser and drop images of their own.

use std::io::{IsTerminal as _, Write as _, stdout};

use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::processes::{HERE, Processes, consumer_program, free_port, introduce};

/// Whether there is a page once the job is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Page {
    /// If somebody sits at a terminal.
    OnTerminal,
    /// In any case, and a browser opens it.
    Opened,
}

impl Page {
    /// Programs that read the report wait for its end.
    pub(crate) fn is_wanted(self) -> bool {
        matches!(self, Self::Opened) || stdout().is_terminal()
    }
}

/// Serves the page, beside what runs, and gives its address.
pub(crate) async fn start(
    processes: &mut Processes,
    redis: u16,
    bucket: &Url,
) -> anyhow::Result<Url> {
    let port = free_port().await?;
    let address = Url::parse(&format!("http://{HERE}:{port}/"))?;
    let (redis, listen) = (redis.to_string(), format!("{HERE}:{port}"));
    let environment = [
        ("REDIS_HOST", HERE),
        ("REDIS_PORT", &redis),
        ("STORAGE_BUCKET", bucket.as_str()),
        ("DASHBOARD_LISTEN", &listen),
    ];
    let mut command = Command::new(consumer_program()?);
    command.arg("dashboard");
    let id = processes.start("dashboard", command, &environment).await?;
    processes.listens(port).await?;
    introduce("dashboard", id, &listen)?;
    Ok(address)
}

/// Keeps it up until somebody presses Ctrl-C, or something that it needs ends by itself.
pub(crate) async fn keep(
    processes: &mut Processes,
    address: &Url,
    page: Page,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    writeln!(stdout(), "\nand the page: {address} (Ctrl-C ends it)")?;
    if matches!(page, Page::Opened) {
        open(address);
    }
    let stopped = async {
        stop.cancelled().await;
        Ok(())
    };
    processes.unless_one_ends(stopped).await
}

/// Opens a browser, where there is one; the address has been printed in any case.
fn open(address: &Url) {
    let program = match cfg!(target_os = "macos") {
        true => "open",
        false => "xdg-open",
    };
    let mut command = Command::new(program);
    command.arg(address.as_str());
    let quiet = || std::process::Stdio::null();
    command.stdin(quiet()).stdout(quiet()).stderr(quiet());
    if let Err(error) = command.spawn() {
        eprintln!("no browser was opened: {program}: {error}");
    }
}
