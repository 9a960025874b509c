//! Answers that do not tell how many bytes an object has: sent in chunks, or packed by its `Content-Encoding`.
//!
//! Google unpacks what was stored with gzip on its way, and then tells no length and knows no ranges; other stores hand it
//! out as it is stored. Either way an object is what it was before it was packed. What cannot be unpacked here is refused: its
//! bytes are no image.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use object_store::client::HttpResponse;
use object_store::{GetResult, Result};

/// What gzip begins with.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// What images and archives begin with: these are not packed, whatever the store says.
const FILES: [&[u8]; 9] = [
    b"II*\0",
    b"II+\0",
    b"MM\0*",
    b"MM\0+",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"PK\x03\x04",
    b"PK\x05\x06",
];

/// Bytes that tell what an object is.
const HEAD: usize = 4;

/// How Google keeps an object, whose length may be told for it as it is kept.
const STORED_ENCODING: HeaderName = HeaderName::from_static("x-goog-stored-content-encoding");

/// Packed bytes that are unpacked at once: to some megabytes at most.
const STEP: usize = 4 << 10;

/// Marks an answer whose announced size is not that of the object.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnknownSize {
    packing: Option<Packing>,
}

/// How an object is packed, by its `Content-Encoding`. Words that name no packing, such as `aws-chunked`, are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Deflate,
    /// In a way that is not built, or more than once.
    Other(&'static str),
}

impl Packing {
    fn of(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Other("br")),
            "zstd" => Some(Self::Other("zstd")),
            "compress" | "x-compress" => Some(Self::Other("compress")),
            "bzip2" | "x-bzip2" => Some(Self::Other("bzip2")),
            "xz" | "lzma" => Some(Self::Other("xz")),
            "dcb" | "dcz" => Some(Self::Other("a dictionary's")),
            _ => None,
        }
    }

    /// What the header of this name says.
    fn named(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let values = headers.get_all(name).iter();
        let words = values.filter_map(|value| value.to_str().ok());
        let mut packings = words
            .flat_map(|words| words.split(','))
            .filter_map(Self::of);
        let first = packings.next()?;
        Some(packings.next().map_or(first, |_| Self::Other("several")))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Other(name) => name,
        }
    }
}

/// An object does not have the encoding that its store names, or has one that is not built.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum CannotUnpack {
    #[error("its Content-Encoding is {0}, but it cannot be unpacked")]
    Damaged(&'static str),
    #[error(
        "its Content-Encoding is {0}, which cannot be unpacked here: store it as it is, or with gzip"
    )]
    NotBuilt(&'static str),
}

/// The answer with what the client insists on, though the store has left it out.
pub(super) fn with_size(response: HttpResponse) -> HttpResponse {
    let (mut head, body) = response.into_parts();
    let headers = &mut head.headers;
    let packing = Packing::named(headers, &CONTENT_ENCODING);
    if head.status == StatusCode::PARTIAL_CONTENT {
        let length = length_of_range(headers).filter(|_| !headers.contains_key(CONTENT_LENGTH));
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
    } else if packing.is_some()
        || Packing::named(headers, &STORED_ENCODING).is_some()
        || !headers.contains_key(CONTENT_LENGTH)
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        headers
            .entry(ETAG)
            .or_insert(HeaderValue::from_static("\"\""));
        head.extensions.insert(UnknownSize { packing });
    }
    HttpResponse::from_parts(head, body)
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
        let Some(packing) = self.packing else {
            return chunks;
        };
        let unpacker = Unpacker {
            chunks,
            packing,
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
    packing: Packing,
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
    Deflate(Box<Inflater>),
    /// The end has come.
    Over,
}

impl Form {
    /// What begins with these bytes, if the store calls it packed like that.
    fn of(packing: Packing, bytes: &[u8]) -> Result<Self, CannotUnpack> {
        if FILES.iter().any(|file| bytes.starts_with(file)) || bytes.is_empty() {
            return Ok(Self::Plain);
        }
        match packing {
            Packing::Gzip if bytes.starts_with(GZIP) => {
                Ok(Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))))
            }
            Packing::Gzip => Ok(Self::Plain),
            Packing::Deflate => Ok(Self::Deflate(Box::new(Inflater::of(bytes)))),
            Packing::Other(name) => Err(CannotUnpack::NotBuilt(name)),
        }
    }
}

/// Unpacks `deflate`: the stream of zlib that the name stands for, or one without its head, which some programs send.
struct Inflater {
    stream: Decompress,
    has_ended: bool,
}

impl Inflater {
    fn of(head: &[u8]) -> Self {
        let is_zlib = matches!(head, [a, b, ..]
            if a & 15 == 8 && u16::from_be_bytes([*a, *b]).is_multiple_of(31));
        Self {
            stream: Decompress::new(is_zlib),
            has_ended: false,
        }
    }

    /// What these bytes unpack to. What follows the end is passed over.
    fn unpacked(&mut self, mut packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut unpacked = Vec::new();
        while !self.has_ended {
            unpacked.reserve(STEP);
            let before = self.stream.total_in();
            let status =
                self.stream
                    .decompress_vec(packed, &mut unpacked, FlushDecompress::None)?;
            let taken = (self.stream.total_in() - before) as usize;
            packed = packed.get(taken..).unwrap_or_default();
            self.has_ended = status == Status::StreamEnd;
            if packed.is_empty() && unpacked.len() < unpacked.capacity() {
                break;
            }
        }
        Ok(unpacked)
    }

    fn finish(self) -> io::Result<()> {
        if self.has_ended {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

impl Unpacker {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let packing = self.packing;
        loop {
            let unpacked = match &mut self.form {
                Form::Over => return Ok(None),
                Form::Unknown if self.pending.len() >= HEAD => {
                    self.form = Form::of(packing, &self.pending).map_err(refused)?;
                    continue;
                }
                Form::Unknown => Bytes::new(),
                Form::Plain => std::mem::take(&mut self.pending),
                Form::Gzip(decoder) => {
                    let step = self.pending.split_to(self.pending.len().min(STEP));
                    decoder.write_all(&step).map_err(|_| damaged(packing))?;
                    std::mem::take(decoder.get_mut()).into()
                }
                Form::Deflate(inflater) => {
                    let step = self.pending.split_to(self.pending.len().min(STEP));
                    let unpacked = inflater.unpacked(&step);
                    unpacked.map_err(|_| damaged(packing))?.into()
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
        let packing = self.packing;
        let form = match std::mem::replace(&mut self.form, Form::Over) {
            // Fewer bytes than tell anything.
            Form::Unknown => Form::of(packing, &self.pending).map_err(refused)?,
            form => form,
        };
        let rest: Bytes = match form {
            Form::Gzip(mut decoder) => {
                let rest = std::mem::take(&mut self.pending);
                let written = decoder.write_all(&rest).and_then(|()| decoder.finish());
                written.map_err(|_| damaged(packing))?.into()
            }
            Form::Deflate(mut inflater) => {
                let rest = inflater.unpacked(&std::mem::take(&mut self.pending));
                let whole = rest.and_then(|rest| inflater.finish().map(|()| rest));
                whole.map_err(|_| damaged(packing))?.into()
            }
            Form::Unknown | Form::Plain | Form::Over => std::mem::take(&mut self.pending),
        };
        Ok((!rest.is_empty()).then_some(rest))
    }
}

fn damaged(packing: Packing) -> object_store::Error {
    refused(CannotUnpack::Damaged(packing.name()))
}

fn refused(why: CannotUnpack) -> object_store::Error {
    object_store::Error::Generic {
        store: "Content-Encoding",
        source: Box::new(why),
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("fits in memory");
        encoder.finish().expect("fits in memory")
    }

    async fn unpacked(bytes: &[u8], chunk: usize) -> Result<Vec<u8>> {
        unpacked_as(Packing::Gzip, bytes, chunk).await
    }

    async fn unpacked_as(packing: Packing, bytes: &[u8], chunk: usize) -> Result<Vec<u8>> {
        let chunks: Vec<_> = bytes
            .chunks(chunk)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        let mark = UnknownSize {
            packing: Some(packing),
        };
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

    #[tokio::test]
    async fn deflate_is_unpacked_with_its_head_and_without() {
        let body: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        for packer in [&mut zlib as &mut dyn io::Write, &mut raw] {
            packer.write_all(&body).expect("fits in memory");
        }
        let packed = [zlib.finish(), raw.finish()].map(|packed| packed.expect("fits in memory"));
        for packed in &packed {
            for chunk in [1, 7, 1000, usize::MAX] {
                let whole = unpacked_as(Packing::Deflate, packed, chunk).await;
                assert!(whole.expect("deflate") == body);
            }
            let half = &packed[..packed.len() / 2];
            let error = unpacked_as(Packing::Deflate, half, 99).await;
            let error = error.expect_err("it breaks off").to_string();
            assert!(error.contains("Content-Encoding is deflate"), "{error}");
        }
        let mut zeros = ZlibEncoder::new(Vec::new(), Compression::fast());
        zeros.write_all(&vec![0; 20 << 20]).expect("fits in memory");
        let zeros = zeros.finish().expect("fits in memory");
        let whole = unpacked_as(Packing::Deflate, &zeros, usize::MAX).await;
        assert_eq!(whole.expect("deflate").len(), 20 << 20);
    }

    #[tokio::test]
    async fn what_is_packed_in_a_way_that_is_not_built_is_refused_and_what_is_not_packed_is_read() {
        for encoding in ["br", "zstd", "gzip, gzip", "BR", "identity, x-compress"] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
            let packing = Packing::named(&headers, &CONTENT_ENCODING).expect("packed");
            for bytes in [&b"\x0b\x02\x80abc"[..], b"x"] {
                let error = unpacked_as(packing, bytes, 3).await;
                let error = error.expect_err(encoding).to_string();
                assert!(error.contains("cannot be unpacked here"), "{error}");
            }
            for file in [&b"II*\0 and so on"[..], b"\x89PNG\r\n", b"PK\x03\x04", b""] {
                let plain = unpacked_as(packing, file, 3).await;
                assert_eq!(plain.expect("not packed"), file);
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aws-chunked"));
        assert_eq!(Packing::named(&headers, &CONTENT_ENCODING), None);
    }
}
