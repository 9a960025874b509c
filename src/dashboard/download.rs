//! Files that are written while they are sent.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::sync::mpsc;
use tracing::warn;

/// Where the parts of a file go. There is room for one: whoever writes waits for the browser.
pub(super) struct Parts(mpsc::Sender<Result<Bytes, anyhow::Error>>);

/// Whoever wanted the file has gone.
#[derive(Debug, thiserror::Error)]
#[error("whoever wanted the file has gone")]
pub(super) struct Gone;

impl Parts {
    pub(super) async fn send(&self, part: Vec<u8>) -> Result<(), Gone> {
        let sent = self.0.send(Ok(part.into())).await;
        sent.map_err(|_| Gone)
    }

    /// Objects, one a line.
    pub(super) async fn send_lines(&self, objects: &[Value]) -> Result<(), Gone> {
        let lines: String = objects.iter().map(|it| format!("{it}\n")).collect();
        match lines.is_empty() {
            true => Ok(()),
            false => self.send(lines.into_bytes()).await,
        }
    }
}

/// A file of this name and kind. One that cannot be written to its end ends the connection, so that nobody takes it for whole.
pub(super) fn download<F>(
    name: &str,
    kind: &'static str,
    write: impl FnOnce(Parts) -> F,
) -> Response
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(1);
    let written = write(Parts(sender.clone()));
    tokio::spawn(async move {
        if let Err(error) = written.await
            && !error.is::<Gone>()
        {
            warn!(
                error = format!("{error:#}"),
                "a file cannot be written to its end"
            );
            // Nobody may be there to hear it.
            _ = sender.send(Err(error)).await;
        }
    });
    let parts = stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    });
    let mut response = Body::from_stream(parts).into_response();
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let disposition = format!("attachment; filename*=UTF-8''{name}");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}
