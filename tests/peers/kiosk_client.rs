//! A client of a Kiosk's frontend, as those that are in use send their requests: with a body of JSON or a form, and
//! `Connection: close`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

/// What parts of a form are told apart by.
const BOUNDARY: &str = "a7f7ac8d4e2e437c877bb7b8d7cc549c";

/// A client of one server.
#[derive(Clone)]
pub(crate) struct KioskClient {
    pub(crate) port: u16,
    /// Headers of each request.
    pub(crate) headers: Vec<(String, String)>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl KioskClient {
    pub(crate) fn new(port: u16) -> Self {
        Self {
            port,
            headers: Vec::new(),
        }
    }

    /// The same with this header in each request.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Asks for the first page, as the batch client does before all else.
    pub(crate) fn first_page(&self) -> Reply {
        self.send("GET", "/", &[("accept", "*/*")], b"")
    }

    /// Uploads a file under the name that it has on this machine, its folders included; the part tells its length.
    pub(crate) fn upload(&self, name: &str, content: &[u8]) -> Reply {
        let length = content.len();
        let head = format!(
            "Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: image/png\r\n\
             Content-Length: {length}\r\n"
        );
        self.upload_form(&form(&head, content))
    }

    /// Sends a form as it is.
    pub(crate) fn upload_form(&self, form: &[u8]) -> Reply {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        self.send("POST", "/api/upload", &[("content-type", &kind)], form)
    }

    /// Sends JSON, with the white space that Python puts into it.
    pub(crate) fn post(&self, path: &str, body: &str) -> Reply {
        let kind = [("content-type", "application/json")];
        self.send("POST", path, &kind, body.as_bytes())
    }

    /// A field of a job, or several.
    pub(crate) fn look(&self, hash: &str, key: &Value) -> Value {
        let body = json!({ "hash": hash, "key": key });
        let reply = self.post("/api/redis", &body.to_string());
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["value"].clone()
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.port,
            body.len()
        );
        let own = self.headers.iter();
        let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.exchange(&[head.as_bytes(), b"\r\n", body].concat())
    }

    /// Sends these bytes, and reads until the server ends the connection.
    pub(crate) fn exchange(&self, request: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let limit = Some(Duration::from_secs(60));
        stream.set_read_timeout(limit).expect("a time limit");
        stream.write_all(request).expect("it reads");
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).expect("it answers");
        Reply::read(&reply)
    }
}

/// A form with one part that has this head.
pub(crate) fn form(head: &str, content: &[u8]) -> Vec<u8> {
    [
        format!("--{BOUNDARY}\r\n{head}\r\n").as_bytes(),
        content,
        format!("\r\n--{BOUNDARY}--\r\n").as_bytes(),
    ]
    .concat()
}

impl Reply {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = bytes.split_at(end.expect("a head"));
        let head = std::str::from_utf8(head).expect("a head is text");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.and_then(|it| it.parse().ok()).expect("a status"),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: body[4..].to_vec(),
        }
    }

    /// The JSON that it is and says it is, which ends with the connection, as the client has asked.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        assert_eq!(self.headers["connection"], "close", "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error that it is.
    pub(crate) fn error(&self) -> (u16, String) {
        let error = self.json()["error"].as_str().map(str::to_owned);
        (self.status, error.expect("an error says why"))
    }
}
