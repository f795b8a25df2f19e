//! HTTP as it goes over the wire: a connection from an address of one's choice, requests as they are written, answers as they
//! come. No library mends what is sent.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// Who is well-behaved comes from here.
pub(crate) const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));

/// What was answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The head, as it came.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of a problem; nothing for what is none.
    pub(crate) fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A header, by its name in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }

    /// Its status must be this.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{}{}", self.head, self.text());
        self
    }
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    head: String,
    body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(method: &str, path: &str) -> Ask {
        Ask {
            head: format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n"),
            body: Vec::new(),
        }
    }

    pub(crate) fn get(path: &str) -> Ask {
        Ask::new("GET", path)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Ask {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub(crate) fn key(self, token: &str) -> Ask {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn json(self, body: &Value) -> Ask {
        self.bytes("application/json", body.to_string().into_bytes())
    }

    pub(crate) fn bytes(self, media: &str, body: impl Into<Vec<u8>>) -> Ask {
        let body = body.into();
        let mut ask = self
            .header("content-type", media)
            .header("content-length", &body.len().to_string());
        ask.body = body;
        ask
    }

    /// What goes over the wire.
    pub(crate) fn wire(&self) -> Vec<u8> {
        [self.head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

/// A connection.
pub(crate) struct Line {
    stream: BufReader<TcpStream>,
}

impl Line {
    /// Opens one from an address of this machine.
    pub(crate) async fn open(to: SocketAddr, from: IpAddr) -> io::Result<Line> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(from, 0))?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Line {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request and reads what is answered.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> io::Result<Reply> {
        self.write(&ask.wire()).await?;
        self.read().await
    }

    /// Sends whatever bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads one answer whole. An answer that does not come is an error of its own kind.
    pub(crate) async fn read(&mut self) -> io::Result<Reply> {
        let mut reply = self.read_head().await?;
        if reply.header("transfer-encoding").is_some() {
            self.read_chunks(&mut reply.body).await?;
        } else if let Some(length) = reply.header("content-length") {
            let length: usize = length.parse().map_err(io::Error::other)?;
            reply.body.resize(length, 0);
            self.stream.read_exact(&mut reply.body).await?;
        }
        Ok(reply)
    }

    /// Reads the head of an answer.
    pub(crate) async fn read_head(&mut self) -> io::Result<Reply> {
        let mut reply = Reply::default();
        loop {
            let before = reply.head.len();
            if self.stream.read_line(&mut reply.head).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if reply.head.get(before..) == Some("\r\n") {
                break;
            }
        }
        let status = reply.head.get(9..12).and_then(|text| text.parse().ok());
        reply.status = status.ok_or_else(|| io::Error::other(reply.head.clone()))?;
        Ok(reply)
    }

    async fn read_chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let mut size = String::new();
            self.stream.read_line(&mut size).await?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).await?;
            if size == 0 {
                return Ok(());
            }
            body.extend_from_slice(chunk.get(..size).unwrap_or_default());
        }
    }

    /// Whatever comes until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // One that is reset has said what it had to say.
        let _ = self.stream.read_to_end(&mut bytes).await;
        bytes
    }
}

/// Sends a request over a connection of its own.
pub(crate) async fn send(to: SocketAddr, ask: &Ask) -> io::Result<Reply> {
    Line::open(to, HOME).await?.ask(ask).await
}

/// Something to run all this on.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    runtime_with(|| {})
}

/// One whose threads yield to everybody else: as if what runs there ran on another machine.
pub(crate) fn runtime_elsewhere() -> tokio::runtime::Runtime {
    runtime_with(|| {
        rustix::process::nice(19).unwrap();
    })
}

fn runtime_with(begin: impl Fn() + Send + Sync + 'static) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(begin)
        .enable_all()
        .build()
        .unwrap()
}
