//! What comes to the ports for metrics of the consumers: a well-behaved prober that asks `/livez` every second, and now and
//! then a hostile client.
//!
//! A port takes few connections, and the oldest gives way. So whoever is cut off asks again: there has to be an answer within
//! five seconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PERIOD: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(5);
/// Connections of a hostile client at the same time: more than the port has places.
const HOSTILE: u64 = 150;

/// Whether a consumer runs. The number tells one life, or one waking, from another.
#[derive(Clone, Default)]
pub(crate) struct Life(Arc<Mutex<(u64, bool)>>);

impl Life {
    pub(crate) fn set(&self, runs: bool) {
        let mut state = self.0.lock().expect("no poison");
        *state = (state.0 + 1, runs);
    }

    fn running(&self) -> Option<u64> {
        let (number, runs) = *self.0.lock().expect("no poison");
        runs.then_some(number)
    }
}

/// What the prober has seen; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<[AtomicU64; 3]>);

impl Seen {
    pub(crate) fn answers(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    pub(crate) fn failures(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }

    pub(crate) fn hostile_connections(&self) -> u64 {
        self.0[2].load(Ordering::Relaxed)
    }

    fn count(&self, index: usize) {
        self.0[index].fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks for as long as it is polled.
pub(crate) async fn ask(port: u16, life: Life, seen: Seen) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let Some(number) = life.running() else {
            continue;
        };
        match is_alive(port, &life, number).await {
            Some(Ok(())) => seen.count(0),
            Some(Err(why)) => {
                seen.count(1);
                eprintln!("chaos: /livez on port {port}: {why}");
            }
            None => {}
        }
    }
}

/// What a consumer answers; nothing if it ended, or was stopped, meanwhile.
async fn is_alive(port: u16, life: &Life, number: u64) -> Option<Result<(), String>> {
    let began = Instant::now();
    loop {
        let left = LIMIT.saturating_sub(began.elapsed());
        let answer = tokio::time::timeout(left, get(port)).await;
        if life.running() != Some(number) {
            return None;
        }
        match answer {
            Ok(Ok(head)) if head.starts_with("HTTP/1.1 200") => return Some(Ok(())),
            // Cut off: the connection gave way to others, or the process has just started or ended.
            Ok(Ok(head)) if head.is_empty() => {}
            Ok(Err(_)) => {}
            Ok(Ok(answer)) => return Some(Err(answer)),
            Err(_) => return Some(Err(format!("no answer within {LIMIT:?}"))),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn get(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nHost: pod\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    // Cut off after the answer is answered.
    let _ = stream.read_to_end(&mut answer).await;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Bothers a port for a while, with requests that do not end, garbage, heads without end, and silence.
pub(crate) fn harass(port: u16, time: Duration, seen: &Seen) {
    for number in 0..HOSTILE {
        let seen = seen.clone();
        let clients = async move {
            // Not all at the same moment.
            tokio::time::sleep(Duration::from_millis(number * 2)).await;
            loop {
                seen.count(2);
                let _ = bother(port, number).await;
                tokio::time::sleep(Duration::from_millis(200 + number)).await;
            }
        };
        tokio::spawn(tokio::time::timeout(time, clients));
    }
}

async fn bother(port: u16, number: u64) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    match number % 4 {
        0 => {
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: p")
                .await?
        }
        1 => {
            let mut garbage = vec![0; 512];
            fastrand::Rng::with_seed(number).fill(&mut garbage);
            stream.write_all(&garbage).await?;
        }
        2 => {
            stream.write_all(b"GET /livez HTTP/1.1\r\n").await?;
            let line = format!("X-{number}: {}\r\n", "x".repeat(1000));
            for _ in 0..1000 {
                stream.write_all(line.as_bytes()).await?;
            }
        }
        _ => {}
    }
    // Until it is cut off.
    let mut answer = [0; 1024];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}
