//! A server that says what a test wants it to, and remembers what it was asked.
#![allow(dead_code, unreachable_pub, reason = "each test file uses the part it needs")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use sandboxer_client::{Address, ApiKey, Client, Settings};
use sandboxer_extension::port::{Clock, SystemClock, SystemIds, Uptime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};

/// What is said to one request, as it goes over the line; empty: nothing, the connection ends.
pub type Said = String;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method and target.
    pub line: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A server with a script.
#[derive(Clone, Default)]
pub struct Server {
    script: Arc<Mutex<VecDeque<Said>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub fn saying(script: impl IntoIterator<Item = Said>) -> Server {
        let server = Server::default();
        server.script.lock().unwrap().extend(script);
        server
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Listens at a port of its own; its address.
    pub async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        address
    }

    /// Listens at a socket; its address.
    pub fn listen_at(&self, path: &Path) -> String {
        let listener = UnixListener::bind(path).unwrap();
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        format!("unix:{}", path.display())
    }

    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Some(asked) = read(&mut stream).await else { return };
        self.asked.lock().unwrap().push(asked);
        let said = self.script.lock().unwrap().pop_front();
        let said = said.unwrap_or_else(|| answer(500, "", "the script is at its end"));
        let _ = stream.write_all(said.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head = loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut asked = Asked {
        line,
        headers,
        body: bytes[head..].to_vec(),
    };
    let length = asked.header("content-length").and_then(|length| length.parse().ok());
    let is_chunked = asked.header("transfer-encoding") == Some("chunked");
    while length.is_some_and(|length: usize| asked.body.len() < length)
        || is_chunked && !asked.body.ends_with(b"0\r\n\r\n")
    {
        if stream.read_buf(&mut asked.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(asked)
}

/// An answer with a body of JSON.
pub fn answer(status: u16, headers: &str, body: &str) -> Said {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// A problem.
pub fn problem(status: u16, code: &str, headers: &str) -> Said {
    let body = format!(
        r#"{{"type":"/docs/errors#{code}","title":"t","status":{status},"detail":"said {code}","code":"{code}","hints":["do this"]}}"#
    );
    answer(status, headers, &body)
}

/// Who the caller is, as a server answers it.
pub const ME: &str = r#"{"key_id":"3k9x2m7q","name":"ada","role":"adm","project":null,"grants":["keys:admin"]}"#;

/// A clock on which short pauses take no time and are written down; long ones are time-outs, and real.
#[derive(Default)]
pub struct Hasty {
    pub pauses: Mutex<Vec<Duration>>,
}

#[async_trait::async_trait]
impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn monotonic(&self) -> Duration {
        let paused: Duration = self.pauses.lock().unwrap().iter().sum();
        SystemClock.monotonic() + paused
    }

    fn uptime(&self) -> Uptime {
        SystemClock.uptime()
    }

    async fn sleep(&self, duration: Duration) {
        if duration >= Duration::from_secs(10) {
            return SystemClock.sleep(duration).await;
        }
        self.pauses.lock().unwrap().push(duration);
        tokio::task::yield_now().await;
    }
}

/// A client of this address with a key, and its clock.
pub fn client(address: &str) -> (Client, Arc<Hasty>) {
    let clock = Arc::new(Hasty::default());
    let client = Client::new(Settings {
        address: Address::parse(address).unwrap(),
        key: Some(ApiKey::new("sbx_live_3k9x2m7q_secret").unwrap()),
        authorities: None,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ids: Arc::new(SystemIds),
    })
    .unwrap();
    (client, clock)
}
