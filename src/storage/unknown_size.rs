//! Answers that do not tell how many bytes an object has: sent in chunks, or packed by its `Content-Encoding`.
//!
//! Google unpacks what was stored with gzip on its way, and then tells no length and knows no ranges; other stores hand it
//! out as it is stored. Either way an object is what it was before it was packed.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use object_store::client::HttpResponse;
use object_store::{GetResult, Result};

/// What gzip begins with.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// How Google keeps an object, whose length may be told for it as it is kept.
const STORED_ENCODING: HeaderName = HeaderName::from_static("x-goog-stored-content-encoding");

/// Packed bytes that are unpacked at once: to some megabytes at most.
const STEP: usize = 4 << 10;

/// Marks an answer whose announced size is not that of the object.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnknownSize {
    is_packed: bool,
}

/// An object does not have the encoding that its store names.
#[derive(Debug, thiserror::Error)]
#[error("its Content-Encoding is gzip, but it cannot be unpacked")]
pub(super) struct CannotUnpack;

/// The answer with what the client insists on, though the store has left it out.
pub(super) fn with_size(response: HttpResponse) -> HttpResponse {
    let (mut head, body) = response.into_parts();
    let headers = &mut head.headers;
    let is_packed = is_gzip(headers, CONTENT_ENCODING);
    if head.status == StatusCode::PARTIAL_CONTENT {
        let length = length_of_range(headers).filter(|_| !headers.contains_key(CONTENT_LENGTH));
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
    } else if is_packed
        || is_gzip(headers, STORED_ENCODING)
        || !headers.contains_key(CONTENT_LENGTH)
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        headers
            .entry(ETAG)
            .or_insert(HeaderValue::from_static("\"\""));
        head.extensions.insert(UnknownSize { is_packed });
    }
    HttpResponse::from_parts(head, body)
}

fn is_gzip(headers: &HeaderMap, name: HeaderName) -> bool {
    headers
        .get(name)
        .and_then(|encoding| encoding.to_str().ok())
        .is_some_and(|encodings| {
            let mut encodings = encodings.split(',').map(str::trim);
            encodings.any(|it| it.eq_ignore_ascii_case("gzip") || it.eq_ignore_ascii_case("x-gzip"))
        })
}

/// Bytes of a part of an object: `bytes 0-9/100`.
fn length_of_range(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, _) = range.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    last.checked_sub(first)?.checked_add(1)
}

impl UnknownSize {
    /// The mark of an answer that has one.
    pub(super) fn of(found: &GetResult) -> Option<Self> {
        found.extensions.get().copied()
    }

    /// The bytes of the object in the bytes that come.
    pub(super) fn unpack(
        self,
        chunks: BoxStream<'static, Result<Bytes>>,
    ) -> BoxStream<'static, Result<Bytes>> {
        if !self.is_packed {
            return chunks;
        }
        let unpacker = Unpacker {
            chunks,
            pending: Bytes::new(),
            form: Form::Unknown,
        };
        stream::try_unfold(unpacker, |mut unpacker| async move {
            let next = unpacker.next().await?;
            Ok(next.map(|bytes| (bytes, unpacker)))
        })
        .boxed()
    }
}

struct Unpacker {
    chunks: BoxStream<'static, Result<Bytes>>,
    /// What has come and is still packed.
    pending: Bytes,
    form: Form,
}

/// What the bytes turn out to be.
enum Form {
    /// Too few have come to tell.
    Unknown,
    /// Not packed, whatever the store says.
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    /// The end has come.
    Over,
}

impl Unpacker {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let unpacked = match &mut self.form {
                Form::Over => return Ok(None),
                Form::Unknown if self.pending.len() >= GZIP.len() => {
                    self.form = form_of(&self.pending);
                    continue;
                }
                Form::Unknown => Bytes::new(),
                Form::Plain => std::mem::take(&mut self.pending),
                Form::Gzip(decoder) => {
                    let step = self.pending.split_to(self.pending.len().min(STEP));
                    decoder.write_all(&step).map_err(cannot_unpack)?;
                    std::mem::take(decoder.get_mut()).into()
                }
            };
            if !unpacked.is_empty() {
                return Ok(Some(unpacked));
            }
            if (self.pending.is_empty() || matches!(self.form, Form::Unknown))
                && !self.receive().await?
            {
                return self.finish();
            }
        }
    }

    /// Waits for more bytes; whether there are any.
    async fn receive(&mut self) -> Result<bool> {
        let Some(chunk) = self.chunks.try_next().await? else {
            return Ok(false);
        };
        self.pending = match self.pending.is_empty() {
            true => chunk,
            false => [&self.pending[..], &chunk[..]].concat().into(),
        };
        Ok(true)
    }

    fn finish(&mut self) -> Result<Option<Bytes>> {
        let rest = match std::mem::replace(&mut self.form, Form::Over) {
            Form::Gzip(decoder) => decoder.finish().map_err(cannot_unpack)?.into(),
            Form::Unknown | Form::Plain | Form::Over => std::mem::take(&mut self.pending),
        };
        Ok((!rest.is_empty()).then_some(rest))
    }
}

fn form_of(bytes: &[u8]) -> Form {
    if bytes.starts_with(GZIP) {
        Form::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
    } else {
        Form::Plain
    }
}

fn cannot_unpack(_: io::Error) -> object_store::Error {
    object_store::Error::Generic {
        store: "gzip",
        source: Box::new(CannotUnpack),
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("fits in memory");
        encoder.finish().expect("fits in memory")
    }

    async fn unpacked(bytes: &[u8], chunk: usize) -> Result<Vec<u8>> {
        let chunks: Vec<_> = bytes
            .chunks(chunk)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        let mark = UnknownSize { is_packed: true };
        let pieces = mark.unpack(stream::iter(chunks).boxed());
        let pieces: Vec<Bytes> = pieces.try_collect().await?;
        assert!(pieces.iter().all(|piece| piece.len() < 8 << 20));
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn an_object_is_what_it_was_before_it_was_packed() {
        let body: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let two = [packed(&body), packed(b"and more")].concat();
        for chunk in [1, 7, 1000, usize::MAX] {
            assert_eq!(unpacked(&packed(&body), chunk).await.expect("gzip"), body);
            assert_eq!(
                unpacked(&two, chunk).await.expect("gzip").len(),
                body.len() + 8
            );
            assert_eq!(unpacked(b"II*\0", chunk).await.expect("plain"), b"II*\0");
            assert_eq!(unpacked(&packed(b""), chunk).await.expect("gzip"), b"");
        }
        assert_eq!(unpacked(b"x", 1).await.expect("plain"), b"x");
        assert_eq!(unpacked(b"", 1).await.expect("plain"), b"");
        let zeros = vec![0; 20 << 20];
        assert!(unpacked(&packed(&zeros), usize::MAX).await.expect("gzip") == zeros);
    }

    #[tokio::test]
    async fn what_is_no_gzip_to_its_end_is_told() {
        let body = packed(&[7; 1000]);
        for damaged in [&body[..body.len() - 1], b"\x1f\x8bnot gzip at all"] {
            let error = unpacked(damaged, 5).await.expect_err("it breaks off");
            assert!(
                error.to_string().contains("Content-Encoding is gzip"),
                "{error}"
            );
        }
    }
}
