//! A command that runs.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};

use super::guard;
use super::members::Members;

/// How often it is looked whether a command has ended that was asked to.
const LOOK: Duration = Duration::from_millis(20);

/// A command that runs. Dropped, it is ended with everything that it has started.
pub(crate) struct Running {
    child: Option<Child>,
    members: Members,
    /// Between asking and killing.
    grace: Duration,
}

impl Running {
    pub(super) fn new(child: Option<Child>, members: Members) -> Self {
        Self {
            child,
            members,
            grace: Duration::ZERO,
        }
    }

    /// When it is dropped it is asked to end, and killed so long after that.
    #[must_use]
    pub(crate) fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Its standard input and outputs; nothing when somebody has them already.
    pub(crate) fn streams(&mut self) -> Option<(ChildStdin, ChildStdout, ChildStderr)> {
        let child = self.child.as_mut()?;
        Some((
            child.stdin.take()?,
            child.stdout.take()?,
            child.stderr.take()?,
        ))
    }

    /// Whether its first process has not ended.
    pub(crate) fn is_alive(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_none()))
    }

    /// The memory of all its processes, in bytes.
    pub(crate) async fn memory(&self) -> u64 {
        let members = self.members.clone();
        let asked = tokio::task::spawn_blocking(move || members.memory()).await;
        asked.unwrap_or(0)
    }

    /// Waits until its first process ends, and ends what that has left. May be dropped and called again.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let Some(child) = &mut self.child else {
            return Err(io::Error::other("the command has been ended"));
        };
        let status = child.wait().await?;
        let members = self.members.clone();
        let _ = tokio::task::spawn_blocking(move || clean_up(&members)).await;
        self.child = None;
        Ok(status)
    }

    /// Asks it to end, waits, and kills it.
    pub(crate) async fn end(mut self) {
        let grace = self.grace;
        if let Some(child) = self.child.take() {
            end(child, self.members.clone(), grace).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else {
            return;
        };
        let (members, grace) = (self.members.clone(), self.grace);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(end(child, members, grace))),
            Err(_) => members.kill(),
        }
    }
}

async fn end(mut child: Child, members: Members, grace: Duration) {
    members.terminate();
    let patience = tokio::time::timeout(grace, child.wait());
    if patience.await.is_err() {
        let killed = members.clone();
        let _ = tokio::task::spawn_blocking(move || killed.kill()).await;
        while child.try_wait().is_ok_and(|status| status.is_none()) {
            tokio::time::sleep(LOOK).await;
        }
    }
    let _ = tokio::task::spawn_blocking(move || clean_up(&members)).await;
}

/// After the end of the first process.
fn clean_up(members: &Members) {
    members.forget();
    members.kill_left_overs();
    guard::forget(members);
}
