//! What lies between an object store client and its sockets: limits on silence, typed refusals, access lists.
//!
//! The client's own errors hide the status of an answer and quote its body, which may hold what no user should see. So
//! every answer but success becomes a [`Refusal`] here, with the status and the error code of the store and no more.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::{ClientOptions, HeaderValue};
use tokio::time::timeout;

/// An upload that is slower than this many bytes a second counts as stalled.
const SLOWEST_UPLOAD: u64 = 32 << 10;

/// How much of a refusal's body is looked at for its error code.
const REFUSAL_BYTES: usize = 16 << 10;

/// The longest answer to a request about an object in parts.
const ANSWER_BYTES: usize = 1 << 20;

/// An answer that is not a success.
#[derive(Debug, thiserror::Error)]
#[error("HTTP {status}{}{}", if code.is_some() { " " } else { "" }, code.as_deref().unwrap_or_default())]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The peer's own word for it, such as `NoSuchKey`.
    pub(super) code: Option<String>,
}

/// The server did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", .0.as_secs_f64())]
pub(super) struct Silent(pub(super) Duration);

/// Whoever hands out credentials has failed, not the store.
#[derive(Debug, thiserror::Error)]
#[error("no credentials")]
pub(super) struct NoCredentials(#[source] HttpError);

/// The access list that uploads carry.
#[derive(Clone, Debug)]
pub(super) struct Acl {
    /// `x-amz-acl` or `x-goog-acl`.
    pub(super) header: &'static str,
    pub(super) value: HeaderValue,
    /// Amazon wants its headers signed, and the client signs before it hands a request over.
    pub(super) signer: Option<Signer>,
}

/// Signs a request once more.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    pub(super) region: String,
    pub(super) credentials: AwsCredentialProvider,
}

/// Makes the connections of one store.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    /// `host[:port]` of the store; every other peer hands out credentials.
    pub(super) authority: String,
    /// How long a peer may say nothing while we wait for it.
    pub(super) patience: Duration,
    pub(super) acl: Option<Acl>,
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
            self.ask_store(request).await
        } else {
            self.ask(request).await.map_err(no_credentials)
        }
    }
}

impl Transport {
    async fn ask_store(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Some(acl) = self
            .connector
            .acl
            .as_ref()
            .filter(|_| creates_object(&request))
        {
            acl.put_on(&mut request).await?;
        }
        let is_post = request.method().as_str() == "POST";
        let response = self.ask(request).await?;
        if is_post {
            self.read_answer(response).await
        } else {
            Ok(response)
        }
    }

    /// The answer, if it is a success and comes in time.
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let size = request.body().content_length() as u64;
        let limit = self.connector.patience + Duration::from_secs(size / SLOWEST_UPLOAD);
        let answer = timeout(limit, async {
            let response = self.inner.execute(request).await?;
            if response.status().is_success() {
                Ok(response)
            } else {
                Err(refusal(response).await)
            }
        });
        answer
            .await
            .unwrap_or_else(|_| Err(HttpError::new(HttpErrorKind::Timeout, Silent(limit))))
    }

    /// The answer to a request about an object in parts, its body read.
    ///
    /// Putting many parts together may take minutes. S3 begins with a 200 then, sends blanks for as long as it is at work,
    /// and may still end with an error.
    async fn read_answer(&self, response: HttpResponse) -> Result<HttpResponse, HttpError> {
        let (head, body) = response.into_parts();
        let (mut chunks, mut read) = (body.bytes_stream(), Vec::new());
        while let Some(chunk) = self.heard(chunks.try_next()).await?? {
            read.extend_from_slice(&chunk);
            if read.len() > ANSWER_BYTES {
                let status = head.status.as_u16();
                return Err(HttpError::new(
                    HttpErrorKind::Unknown,
                    Refusal { status, code: None },
                ));
            }
        }
        match error_code_in(&read) {
            Some(code) => {
                let status = head.status.as_u16();
                Err(HttpError::new(
                    HttpErrorKind::Unknown,
                    Refusal {
                        status,
                        code: Some(code),
                    },
                ))
            }
            None => Ok(HttpResponse::from_parts(head, Bytes::from(read).into())),
        }
    }

    async fn heard<T>(&self, next: impl Future<Output = T>) -> Result<T, HttpError> {
        let patience = self.connector.patience;
        timeout(patience, next)
            .await
            .map_err(|_| HttpError::new(HttpErrorKind::Timeout, Silent(patience)))
    }
}

/// Whether an access list belongs on the request: with the parts of an object there is one on the request that begins it.
fn creates_object(request: &HttpRequest) -> bool {
    let has = |name| {
        let mut pairs = request.uri().query().unwrap_or_default().split('&');
        pairs.any(|pair| pair.split('=').next() == Some(name))
    };
    match request.method().as_str() {
        "PUT" => !has("uploadId"),
        "POST" => has("uploads"),
        _ => false,
    }
}

impl Acl {
    async fn put_on(&self, request: &mut HttpRequest) -> Result<(), HttpError> {
        request
            .headers_mut()
            .insert(self.header, self.value.clone());
        match &self.signer {
            Some(signer) => signer
                .sign(request)
                .await
                .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error)),
            None => Ok(()),
        }
    }
}

impl Signer {
    async fn sign(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        let digest = request
            .headers()
            .get("x-amz-content-sha256")
            .and_then(|value| from_hex(value.as_bytes()));
        let credential = self.credentials.get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .with_sign_payload(digest.is_some())
            .try_authorize(request, digest.as_deref())
    }
}

/// The bytes of a digest, or nothing for words such as `UNSIGNED-PAYLOAD`.
fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|&[high, low]| u8::try_from(digit(high)? * 16 + digit(low)?).ok())
        .collect()
}

async fn refusal(response: HttpResponse) -> HttpError {
    let status = response.status().as_u16();
    let code = error_code(response).await;
    HttpError::new(HttpErrorKind::Unknown, Refusal { status, code })
}

/// What stands between `<Code>` and `</Code>` in the body, as S3 and Google answer.
async fn error_code(response: HttpResponse) -> Option<String> {
    let mut chunks = response.into_body().bytes_stream();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = chunks.try_next().await {
        body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_BYTES - body.len())]);
        if body.len() == REFUSAL_BYTES {
            break;
        }
    }
    error_code_in(&body)
}

fn error_code_in(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_word = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word.then(|| code.to_owned())
}

fn no_credentials(error: HttpError) -> HttpError {
    HttpError::new(error.kind(), NoCredentials(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn code_in(body: &str) -> Option<String> {
        error_code(HttpResponse::new(body.to_owned().into())).await
    }

    #[tokio::test]
    async fn the_error_code_is_found_in_the_answers_of_both_clouds() {
        let amazon =
            "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Reduce</Message></Error>";
        assert_eq!(code_in(amazon).await.as_deref(), Some("SlowDown"));
        assert_eq!(code_in("<html>Bad gateway</html>").await, None);
        assert_eq!(code_in("<Code>not a word</Code>").await, None);
        assert_eq!(
            code_in(&format!("{}<Code>Late</Code>", " ".repeat(REFUSAL_BYTES))).await,
            None
        );
    }

    #[test]
    fn access_lists_go_where_objects_begin() {
        let creates = |method: &str, target: &str| {
            let request = HttpRequest::new(Vec::new().into());
            let (mut head, body) = request.into_parts();
            head.method = method.parse().expect("a method");
            head.uri = target.parse().expect("a target");
            creates_object(&HttpRequest::from_parts(head, body))
        };
        assert!(creates("PUT", "https://h/b/k") && creates("POST", "https://h/b/k?uploads="));
        assert!(
            !creates("PUT", "https://h/b/k?partNumber=1&uploadId=x"),
            "a part"
        );
        assert!(!creates("POST", "https://h/b/k?uploadId=x"), "its end");
        assert!(!creates("GET", "https://h/b/k") && !creates("DELETE", "https://h/b/k?uploadId=x"));
    }

    #[test]
    fn only_digests_are_hexadecimal() {
        assert_eq!(from_hex(b"00ff1A"), Some(vec![0, 255, 26]));
        assert_eq!(from_hex(b"UNSIGNED-PAYLOAD"), None);
        assert_eq!(from_hex(b"abc"), None);
    }
}
