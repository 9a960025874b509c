//! What no program can go below: a client of plain sockets that moves the bytes of a job and computes nothing but its archive.
//!
//! It fetches the input, sends requests of the same size, reads the answers, packs the labels as the program does and stores
//! them. HTTP/1.1 and HTTP/2 are written by hand: frames, windows, headers without compression, and no errors but panics.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::signer::Signer as _;
use prost::Message as _;
use redis_consumer::serving::wire::tensorflow::TensorProto;
use redis_consumer::serving::wire::tensorflow::serving::model_spec::VersionChoice;
use redis_consumer::serving::wire::tensorflow::serving::{ModelSpec, PredictRequest};
use redis_consumer::serving::{DataType, ModelId, wire};
use redis_consumer::storage::archive::write_zip;

use crate::peers::s3::{ACCESS_KEY, BUCKET, SECRET_KEY};

/// Bytes that may be under way to it, and of a frame of an answer: as the program has them.
const WINDOW: u32 = 16 << 20;
const FRAME: u32 = 1 << 20;

/// Bytes of a frame that every server takes.
const SMALL_FRAME: usize = 16 << 10;

/// A job, as its peers see it.
pub(crate) struct Errand {
    pub(crate) model: ModelId,
    /// The input of the model and its shape, for each request.
    pub(crate) requests: Vec<(String, Vec<i64>)>,
    /// The object that is worked.
    pub(crate) input: String,
    /// The file of the result.
    pub(crate) labels: Vec<u8>,
}

/// CPU time that one job takes, in seconds.
pub(crate) async fn cpu_of(errand: &Errand, [bucket, models]: [SocketAddr; 2], jobs: u32) -> f64 {
    // The store wants one, though it only signs addresses.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = AmazonS3Builder::new()
        .with_bucket_name(BUCKET)
        .with_endpoint(format!("http://{bucket}"))
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .build()
        .expect("a store");
    let signed = async |method, key: &str| {
        let key = Path::from(key);
        let url = store.signed_url(method, &key, Duration::from_secs(3600));
        let url = url.await.expect("an address");
        format!("{}?{}", url.path(), url.query().unwrap_or_default())
    };
    let input = signed(http::Method::GET, &errand.input).await;
    let output = signed(http::Method::PUT, "output/limit.zip").await;
    let host = bucket.to_string();
    let requests: Vec<_> = errand
        .requests
        .iter()
        .map(|it| errand.request(it))
        .collect();
    let labels = errand.labels.clone();
    let work = move || {
        let mut bucket = Http1::connect(&host);
        let mut server = Http2::connect(models);
        let mut began = cpu_seconds();
        for job in 0..=jobs {
            if job == 1 {
                // The first one was to warm up.
                began = cpu_seconds();
            }
            bucket.ask("GET", &input, &[]);
            requests.iter().for_each(|request| server.ask(request));
            let entry = ("labels.tif".to_owned(), labels.clone());
            let archive = write_zip([entry]).expect("an archive");
            bucket.ask("PUT", &output, &archive);
        }
        (cpu_seconds() - began) / f64::from(jobs)
    };
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

impl Errand {
    /// A request of zeros, with the five bytes that gRPC puts in front.
    fn request(&self, (input, shape): &(String, Vec<i64>)) -> Vec<u8> {
        let sizes: Vec<_> = shape.iter().map(|size| *size as usize).collect();
        let tensor = wire::encode(ndarray::ArrayD::zeros(sizes), DataType::F32);
        let tensor: TensorProto = tensor.expect("float32");
        let message = PredictRequest {
            model_spec: Some(ModelSpec {
                name: self.model.name.clone(),
                version_choice: Some(VersionChoice::Version(self.model.version)),
                ..ModelSpec::default()
            }),
            inputs: [(input.clone(), tensor)].into(),
            output_filter: Vec::new(),
        };
        let mut body = vec![0];
        body.extend((message.encoded_len() as u32).to_be_bytes());
        message.encode(&mut body).expect("room");
        body
    }
}

/// CPU time of this thread.
fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says it");
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
    nanoseconds.map_or(f64::NAN, |nanoseconds: f64| nanoseconds * 1e-9)
}

struct Http1 {
    host: String,
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Http1 {
    fn connect(host: &str) -> Self {
        let socket = TcpStream::connect(host).expect("a server");
        socket.set_nodelay(true).expect("a socket");
        Self {
            host: host.to_owned(),
            socket,
            buffer: vec![0; 1 << 20],
        }
    }

    /// Makes a request, and reads the answer to its end.
    fn ask(&mut self, method: &str, path: &str, body: &[u8]) {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n\r\n",
            self.host
        );
        self.socket.write_all(head.as_bytes()).expect("it is sent");
        self.socket.write_all(body).expect("it is sent");
        let (mut read, mut end) = (0, None);
        while end.is_none_or(|end| read < end) {
            if read == self.buffer.len() {
                self.buffer.resize(2 * read, 0);
            }
            let count = self.socket.read(&mut self.buffer[read..]);
            read += count.expect("an answer");
            end = end.or_else(|| answer_bytes(&self.buffer[..read]));
        }
    }
}

/// How long an answer is, once its head has come.
fn answer_bytes(read: &[u8]) -> Option<usize> {
    let head = read.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
    assert!(text.starts_with("http/1.1 200"), "{text}");
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    Some(head + length.map_or(0, |length| length.parse().expect("a number")))
}

struct Http2 {
    socket: TcpStream,
    authority: String,
    stream: u32,
    /// Bytes that the server takes on the connection, and at first on a stream.
    window: i64,
    stream_window: i64,
    buffer: Vec<u8>,
}

/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// Settings.
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;

impl Http2 {
    fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("a server");
        socket.set_nodelay(true).expect("a socket");
        let mut this = Self {
            socket,
            authority: address.to_string(),
            stream: 1,
            window: 65_535,
            stream_window: 65_535,
            buffer: vec![0; FRAME as usize],
        };
        this.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let setting = |id: u16, value: u32| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let settings = [
            setting(INITIAL_WINDOW_SIZE, WINDOW),
            setting(MAX_FRAME_SIZE, FRAME),
        ];
        this.frame(SETTINGS, 0, 0, &settings.concat());
        this.frame(WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
        this
    }

    /// Makes a request, and reads the answer to its end.
    fn ask(&mut self, request: &[u8]) {
        let stream = self.stream;
        self.stream += 2;
        let headers = self.headers();
        self.frame(HEADERS, 4, stream, &headers);
        let (mut left, mut stream_window) = (request, self.stream_window);
        let mut has_ended = false;
        while !has_ended {
            let room = self
                .window
                .min(stream_window)
                .min(SMALL_FRAME as i64)
                .max(0) as usize;
            if !left.is_empty() && room > 0 {
                let (part, rest) = left.split_at(room.min(left.len()));
                self.frame(DATA, u8::from(rest.is_empty()), stream, part);
                self.window -= part.len() as i64;
                stream_window -= part.len() as i64;
                left = rest;
                continue;
            }
            has_ended = self.take_frame(stream, &mut stream_window);
        }
    }

    /// Reads a frame. Whether the answer on the stream has ended with it.
    fn take_frame(&mut self, stream: u32, stream_window: &mut i64) -> bool {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).expect("an answer");
        let [a, b, c, kind, flags, on @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let on = u32::from_be_bytes(on);
        let payload = &mut self.buffer[..length];
        self.socket.read_exact(payload).expect("an answer");
        let number = |at: usize| {
            i64::from(u32::from_be_bytes(
                payload[at..at + 4].try_into().expect("four bytes"),
            ))
        };
        match kind {
            WINDOW_UPDATE if on == 0 => self.window += number(0),
            WINDOW_UPDATE if on == stream => *stream_window += number(0),
            SETTINGS if flags & 1 == 0 => {
                for at in (0..length).step_by(6) {
                    if payload[at..at + 2] == INITIAL_WINDOW_SIZE.to_be_bytes() {
                        let size = number(at + 2);
                        *stream_window += size - self.stream_window;
                        self.stream_window = size;
                    }
                }
                self.frame(SETTINGS, 1, 0, &[]);
            }
            PING if flags & 1 == 0 => {
                let payload = payload.to_vec();
                self.frame(PING, 1, 0, &payload);
            }
            GO_AWAY => panic!("the server hangs up"),
            DATA if length > 0 => {
                let given_back = (length as u32).to_be_bytes();
                self.frame(WINDOW_UPDATE, 0, 0, &given_back);
                if flags & 1 == 0 {
                    self.frame(WINDOW_UPDATE, 0, on, &given_back);
                }
            }
            _ => {}
        }
        on == stream && matches!(kind, DATA | HEADERS) && flags & 1 == 1
    }

    /// The headers of a call, as literals.
    fn headers(&self) -> Vec<u8> {
        let all = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/tensorflow.serving.PredictionService/Predict"),
            (":authority", &self.authority),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        let mut block = Vec::new();
        for (name, value) in all {
            block.push(0);
            for text in [name, value] {
                block.push(text.len() as u8);
                block.extend(text.as_bytes());
            }
        }
        block
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut head = [0; 9];
        head[..3].copy_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        head[3..5].copy_from_slice(&[kind, flags]);
        head[5..].copy_from_slice(&stream.to_be_bytes());
        let parts = [std::io::IoSlice::new(&head), std::io::IoSlice::new(payload)];
        let sent = self.socket.write_vectored(&parts).expect("it is sent");
        match sent.checked_sub(head.len()) {
            Some(sent) => self.send(&payload[sent..]),
            None => {
                self.send(&head[sent..]);
                self.send(payload);
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("it is sent");
    }
}
