//! A small HTTP server on loopback that misbehaves as told.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "each test file uses the part it needs"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a condition is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers.
    Status(u16),
    /// Answers with these headers and this body.
    Full(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Reads the request, and closes without a word.
    Cut,
    /// Promises more of a body than it sends.
    Half,
    /// Reads the request, and says nothing for as long as the test lasts.
    Hang,
}

/// One request that arrived whole.
#[derive(Debug, Clone)]
pub struct Request {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

type Rule = Box<dyn FnMut(usize, &Request) -> Reply + Send>;

struct State {
    rule: Mutex<Rule>,
    requests: Mutex<Vec<Request>>,
    held: Mutex<Vec<TcpStream>>,
    connections: Mutex<usize>,
    stopped: AtomicBool,
}

/// The server; it ends with the value.
pub struct Server {
    pub address: SocketAddr,
    state: Arc<State>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Wraps a connection, such as in TLS. `None`: nothing came of it.
pub type Wrap = Box<dyn Fn(TcpStream) -> Option<Box<dyn Stream>> + Send>;

pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Server {
    /// A server whose answers this rule gives: it is told how many requests came before, and the request.
    pub fn start(rule: impl FnMut(usize, &Request) -> Reply + Send + 'static) -> Server {
        Server::wrapped(rule, Box::new(|stream| Some(Box::new(stream))))
    }

    pub fn wrapped(rule: impl FnMut(usize, &Request) -> Reply + Send + 'static, wrap: Wrap) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            rule: Mutex::new(Box::new(rule)),
            requests: Mutex::default(),
            held: Mutex::default(),
            connections: Mutex::new(0),
            stopped: AtomicBool::new(false),
        });
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                *shared.connections.lock().unwrap() += 1;
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let raw = stream.try_clone().unwrap();
                if let Some(stream) = wrap(stream) {
                    let _ = serve(&shared, stream, raw);
                }
            }
        });
        Server {
            address,
            state,
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this rule.
    pub fn set(&self, rule: impl FnMut(usize, &Request) -> Reply + Send + 'static) {
        *self.state.rule.lock().unwrap() = Box::new(rule);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap()
    }

    /// Waits until it was asked so often.
    pub fn wait_for(&self, what: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let requests = self.requests();
            if what(&requests) {
                return requests;
            }
            assert!(
                Instant::now() < deadline,
                "it did not come: {} requests",
                requests.len()
            );
            std::thread::park_timeout(Duration::from_millis(3));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(state: &State, stream: Box<dyn Stream>, raw: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request = Request {
        line: line.trim_end().to_owned(),
        headers,
        body,
    };
    if request.line.is_empty() {
        return Ok(());
    }
    let reply = {
        let mut requests = state.requests.lock().unwrap();
        let reply = (state.rule.lock().unwrap())(requests.len(), &request);
        requests.push(request);
        reply
    };
    let mut stream = reader.into_inner();
    match reply {
        Reply::Status(status) => write!(stream, "HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n")?,
        Reply::Full(status, headers, body) => {
            write!(stream, "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n", body.len())?;
            for (name, value) in headers {
                write!(stream, "{name}: {value}\r\n")?;
            }
            stream.write_all(b"\r\n")?;
            stream.write_all(&body)?;
        }
        Reply::Half => stream.write_all(b"HTTP/1.1 200 Said\r\ncontent-length: 100\r\n\r\nhalf")?,
        Reply::Cut => {}
        Reply::Hang => state.held.lock().unwrap().push(raw),
    }
    stream.flush()
}
