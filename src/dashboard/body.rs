//! Bodies of requests that are taken a piece at a time, within bounds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use futures::{Stream, StreamExt as _, stream};
use multer::Field;
use tokio::time::timeout;

/// What a form may have around its file, in bytes.
const AROUND: u64 = 1 << 20;

/// Bytes that may be read ahead of what is understood: a head of a part that never ends would fill the memory.
const AHEAD: u64 = 256 << 10;

/// How long a client may say nothing.
const STALL: Duration = Duration::from_secs(60);

/// How long is listened to a client that has been refused: it would not read the answer while it sends.
const LISTEN: Duration = Duration::from_secs(30);

/// Why a body cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the file is larger than {0} bytes (MAX_UPLOAD_BYTES)")]
    TooLarge(u64),
    #[error("a part of the form has a head that does not end")]
    EndlessHead,
    #[error("nothing has come for 60 s")]
    Stalled,
    #[error("the request has ended too early")]
    Broken,
}

/// How much may still come.
pub(super) struct Limits {
    pub(super) most: u64,
    left: AtomicU64,
    ahead: AtomicU64,
}

impl Trouble {
    /// The status that says it.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::EndlessHead | Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

/// The bytes that a request says it has.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Listens for a while to a client that has been refused.
pub(super) async fn let_finish(body: &mut BodyDataStream) {
    let rest = async { while let Some(Ok(_)) = body.next().await {} };
    let _ = timeout(LISTEN, rest).await;
}

/// The pieces of a body, as far as the limits allow.
pub(super) fn pieces<'b>(
    body: &'b mut BodyDataStream,
    limits: &'b Limits,
) -> impl Stream<Item = Result<Bytes, Trouble>> + Send + 'b {
    stream::try_unfold(body, move |body| async move {
        let next = timeout(STALL, body.next()).await;
        match next.map_err(|_| Trouble::Stalled)? {
            None => Ok(None),
            Some(piece) => {
                let piece = piece.map_err(|_| Trouble::Broken)?;
                limits.take(piece.len() as u64)?;
                Ok(Some((piece, body)))
            }
        }
    })
}

impl Limits {
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            left: AtomicU64::new(most.saturating_add(AROUND)),
            ahead: AtomicU64::new(AHEAD),
        }
    }

    /// Refuses what is said to be too large before it comes.
    pub(super) fn check_announced(&self, headers: &HeaderMap) -> Result<(), Trouble> {
        match announced(headers).is_some_and(|length| length > self.most.saturating_add(AROUND)) {
            true => Err(Trouble::TooLarge(self.most)),
            false => Ok(()),
        }
    }

    /// Another file begins, which may be as large again.
    pub(super) fn begin_file(&self) {
        let most = self.most.saturating_add(AROUND);
        self.left.store(most, Ordering::Relaxed);
    }

    /// What has come is understood: as much again may come.
    pub(super) fn expect(&self) {
        self.ahead.store(AHEAD, Ordering::Relaxed);
    }

    fn take(&self, bytes: u64) -> Result<(), Trouble> {
        let less = |counter: &AtomicU64| {
            let left = counter.load(Ordering::Relaxed).checked_sub(bytes)?;
            counter.store(left, Ordering::Relaxed);
            Some(())
        };
        less(&self.left).ok_or(Trouble::TooLarge(self.most))?;
        less(&self.ahead).ok_or(Trouble::EndlessHead)
    }

    /// The next piece of a field.
    pub(super) async fn piece(
        &self,
        field: &mut Field<'_>,
    ) -> Result<Option<Bytes>, multer::Error> {
        self.expect();
        field.chunk().await
    }
}
