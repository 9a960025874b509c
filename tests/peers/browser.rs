//! A browser without a screen: it sends requests as browsers do, keeps its cookie, and fills in forms.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::cluster::{Cluster, Pod, eventually};
use super::redis::free_port;

/// The page of a cluster, as a process.
pub(crate) struct Dashboard {
    pub(crate) pod: Pod,
    pub(crate) port: u16,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer<B = String> {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: B,
}

/// Who sends requests, and how.
#[derive(Clone, Default)]
pub(crate) struct Browser {
    pub(crate) port: u16,
    /// Headers of each request.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Dashboard {
    /// Starts it with these settings, and waits until it answers.
    pub(crate) fn start(cluster: &Cluster, settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let mut pod = cluster.pod("dashboard").set("DASHBOARD_LISTEN", &listen);
        for (name, value) in settings {
            pod = pod.set(name, value);
        }
        let pod = pod.start_with(&["dashboard"]);
        eventually("the dashboard answers", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { pod, port }
    }

    /// The whole address of one of its pages.
    pub(crate) fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Somebody who looks at it.
    pub(crate) fn browser(&self) -> Browser {
        let port = self.port;
        let headers = [
            ("host", format!("127.0.0.1:{port}")),
            ("sec-fetch-site", "same-origin".to_owned()),
        ];
        Browser {
            port,
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        }
    }
}

impl Browser {
    /// The same with this header in each request.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same without this header.
    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "")
    }

    /// Sends a form, with the token of its page.
    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.form_token();
        let all = [fields, &[("rc_csrf", &token)]].concat();
        self.post_plain(path, &all)
    }

    /// The same without a token.
    pub(crate) fn post_plain(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        self.send("POST", path, &form.finish())
    }

    /// What forms of this person send back; empty for nobody.
    pub(crate) fn form_token(&self) -> String {
        self.form_token_of("/queues/segmentation")
    }

    /// The same on this page.
    pub(crate) fn form_token_of(&self, page: &str) -> String {
        let page = self.get(page).body;
        let token = page.split_once("name=\"rc_csrf\" value=\"");
        let token = token.and_then(|(_, rest)| rest.split_once('"'));
        token.map(|(token, _)| token.to_owned()).unwrap_or_default()
    }

    /// Logs in, and keeps the cookie.
    #[must_use]
    pub(crate) fn log_in(self, token: &str) -> Self {
        let answer = self.post_plain("/login", &[("token", token)]);
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = answer.headers["set-cookie"].split(';').next();
        let cookie = cookie.expect("a cookie").to_owned();
        self.with("cookie", &cookie)
    }

    /// What is no page, such as a picture.
    pub(crate) fn get_bytes(&self, path: &str) -> Answer<Vec<u8>> {
        Answer::of(&self.exchange("GET", path, ""))
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let Answer {
            status,
            headers,
            body,
        } = Answer::of(&self.exchange(method, path, body));
        let body = String::from_utf8(body).expect("all pages are text");
        Answer {
            status,
            headers,
            body,
        }
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let limit = Some(Duration::from_secs(60));
        stream.set_read_timeout(limit).expect("a time limit");
        let headers = self.headers.iter();
        let headers: String = headers
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let kind = "application/x-www-form-urlencoded";
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{headers}connection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        stream.write_all(body.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        answer
    }
}

impl Answer<Vec<u8>> {
    fn of(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
        let (head, body) = bytes.split_at(end.expect("a head"));
        let head = std::str::from_utf8(head).expect("text");
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
}

impl Answer {
    /// The command that a confirmation shows.
    pub(crate) fn command(&self) -> String {
        let code = self.body.split_once("<pre><code>").expect("a command").1;
        unescaped(code.split_once("</code>").expect("its end").0)
    }
}

/// Text as a browser shows it.
pub(crate) fn unescaped(html: &str) -> String {
    let named = [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
    ];
    let mut text = html.to_owned();
    for (entity, character) in named {
        text = text.replace(entity, character);
    }
    text.replace("&#38;", "&")
}
