//! What lies between an object store client and its sockets: timeouts, typed errors, headers that the client lacks.
//!
//! The client's own errors hide the status of an answer and quote its body, which may hold what no user should see. So
//! every answer but success becomes an [`HttpStatusError`] here, with the status and the store's error code and no more.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use http::HeaderMap;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService, ReqwestConnector,
};
use tokio::time::timeout;

use super::unknown_size::with_size;

/// An upload that is slower than this many bytes a second counts as stalled.
const SLOWEST_UPLOAD: u64 = 32 << 10;

/// How much of an error's body is searched for its code.
const ERROR_BYTES: usize = 16 << 10;

/// The longest answer to a request about an object in parts.
const ANSWER_BYTES: usize = 1 << 20;

/// An answer that is not a success.
#[derive(Debug, thiserror::Error)]
#[error("HTTP {status}{}{}", after(" ", code), after(": ", hint))]
pub(super) struct HttpStatusError {
    pub(super) status: u16,
    /// The store's own word for it, such as `NoSuchKey`.
    pub(super) code: Option<String>,
    /// What the operator can do about it, if the answer tells.
    pub(super) hint: Option<String>,
}

fn after(separator: &str, text: &Option<String>) -> String {
    text.as_ref()
        .map(|text| format!("{separator}{text}"))
        .unwrap_or_default()
}

/// The server did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", .0.as_secs_f64())]
pub(super) struct Stalled(pub(super) Duration);

/// Whoever hands out credentials has failed, not the store.
#[derive(Debug, thiserror::Error)]
#[error("no credentials")]
pub(super) struct CredentialsError(#[source] HttpError);

/// In what the stores differ on the wire, as far as their clients leave it to us.
#[async_trait]
pub(super) trait Dialect: Debug + Send + Sync + 'static {
    /// Adds the headers that the client cannot send, and signs the request anew where they are part of the signature.
    async fn apply(&self, request: &mut HttpRequest) -> object_store::Result<()>;

    /// The store's own word for an error.
    fn error_code(&self, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        let _ = headers;
        code_in_xml(body)
    }

    /// What the operator can do about an error, if the answer tells.
    fn hint(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        let _ = (status, headers, body);
        None
    }
}

/// Makes the connections of one store.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    /// `host[:port]` of the store; every other peer hands out credentials.
    pub(super) authority: String,
    /// How long a peer may say nothing while we wait for it.
    pub(super) stall_timeout: Duration,
    pub(super) dialect: Arc<dyn Dialect>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Transport {
            inner,
            connector: self.clone(),
        }))
    }
}

#[derive(Debug)]
struct Transport {
    inner: HttpClient,
    connector: Connector,
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_store = request
            .uri()
            .authority()
            .is_some_and(|it| it.as_str() == self.connector.authority);
        if is_store {
            self.call_store(request).await
        } else {
            self.send_with_timeout(request)
                .await
                .map_err(credentials_error)
        }
    }
}

impl Transport {
    async fn call_store(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let applied = self.connector.dialect.apply(&mut request).await;
        applied.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let method = request.method().clone();
        let response = self.send_with_timeout(request).await?;
        match method.as_str() {
            "POST" => self.read_answer(response).await,
            "GET" | "HEAD" => Ok(with_size(response)),
            _ => Ok(response),
        }
    }

    /// The answer, if it is a success and comes in time.
    async fn send_with_timeout(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let size = request.body().content_length() as u64;
        let limit = self.connector.stall_timeout + Duration::from_secs(size / SLOWEST_UPLOAD);
        let answer = timeout(limit, async {
            let response = self.inner.execute(request).await?;
            if response.status().is_success() {
                Ok(response)
            } else {
                Err(self.status_error(response).await)
            }
        });
        answer
            .await
            .unwrap_or_else(|_| Err(HttpError::new(HttpErrorKind::Timeout, Stalled(limit))))
    }

    /// The answer to a request about an object in parts, its body read.
    ///
    /// Putting many parts together may take minutes. S3 begins with a 200 then, sends blanks for as long as it is at work,
    /// and may still end with an error.
    async fn read_answer(&self, response: HttpResponse) -> Result<HttpResponse, HttpError> {
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let (mut chunks, mut read) = (body.bytes_stream(), Vec::new());
        while let Some(chunk) = self.with_stall_timeout(chunks.try_next()).await?? {
            read.extend_from_slice(&chunk);
            if read.len() > ANSWER_BYTES {
                let error = HttpStatusError {
                    status,
                    code: None,
                    hint: None,
                };
                return Err(HttpError::new(HttpErrorKind::Unknown, error));
            }
        }
        match self.connector.dialect.error_code(&head.headers, &read) {
            None => Ok(HttpResponse::from_parts(head, Bytes::from(read).into())),
            code => {
                let error = HttpStatusError {
                    status,
                    code,
                    hint: None,
                };
                Err(HttpError::new(HttpErrorKind::Unknown, error))
            }
        }
    }

    async fn with_stall_timeout<T>(&self, next: impl Future<Output = T>) -> Result<T, HttpError> {
        let limit = self.connector.stall_timeout;
        timeout(limit, next)
            .await
            .map_err(|_| HttpError::new(HttpErrorKind::Timeout, Stalled(limit)))
    }

    async fn status_error(&self, response: HttpResponse) -> HttpError {
        let (head, body) = response.into_parts();
        let body = beginning(body).await;
        let (dialect, status) = (&self.connector.dialect, head.status.as_u16());
        let error = HttpStatusError {
            status,
            code: dialect.error_code(&head.headers, &body),
            hint: dialect.hint(status, &head.headers, &body),
        };
        HttpError::new(HttpErrorKind::Unknown, error)
    }
}

/// What comes of a body before it breaks off, up to a limit.
async fn beginning(body: HttpResponseBody) -> Vec<u8> {
    let mut chunks = body.bytes_stream();
    let mut read = Vec::new();
    while let Ok(Some(chunk)) = chunks.try_next().await {
        read.extend_from_slice(&chunk[..chunk.len().min(ERROR_BYTES - read.len())]);
        if read.len() == ERROR_BYTES {
            break;
        }
    }
    read
}

/// What stands between `<Code>` and `</Code>`.
fn code_in_xml(body: &[u8]) -> Option<String> {
    error_word(&text_in_xml(body, "Code")?)
}

/// What stands in the first element of this name.
pub(super) fn text_in_xml(body: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inside.to_owned())
}

/// An error code that is fit for users: a single word.
pub(super) fn error_word(code: &str) -> Option<String> {
    let is_word = !code.is_empty()
        && code.len() <= 64
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word.then(|| code.to_owned())
}

fn credentials_error(error: HttpError) -> HttpError {
    HttpError::new(error.kind(), CredentialsError(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_code_is_found_in_the_answers_of_stores() {
        let amazon =
            b"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Reduce</Message></Error>";
        assert_eq!(code_in_xml(amazon).as_deref(), Some("SlowDown"));
        assert_eq!(code_in_xml(b"<html>Bad gateway</html>"), None);
        assert_eq!(code_in_xml(b"<Code>not a word</Code>"), None);
        assert_eq!(code_in_xml(b"<Code></Code>"), None);
    }

    #[tokio::test]
    async fn only_the_beginning_of_a_long_error_is_read() {
        let long = " ".repeat(ERROR_BYTES) + "<Code>Late</Code>";
        assert_eq!(beginning(long.into()).await.len(), ERROR_BYTES);
        assert_eq!(beginning("short".to_owned().into()).await, b"short");
    }
}
