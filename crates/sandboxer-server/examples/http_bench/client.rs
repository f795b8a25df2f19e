//! Connections that stay open, and how long answers take.

use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::Request;
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;

use crate::Outcome;

/// One request.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) key: String,
    pub(crate) body: String,
}

impl Ask {
    /// A GET.
    pub(crate) fn get(path: &str, key: &str) -> Ask {
        Ask {
            method: "GET",
            path: path.to_owned(),
            key: key.to_owned(),
            body: String::new(),
        }
    }

    /// A create.
    pub(crate) fn create(key: &str) -> Ask {
        Ask {
            method: "POST",
            path: "/v1/sandboxes".to_owned(),
            key: key.to_owned(),
            body: "{\"profile\": \"profile.native\"}".to_owned(),
        }
    }
}

/// A connection.
pub(crate) struct Connection(SendRequest<Body>);

impl Connection {
    /// Opens one.
    pub(crate) async fn open(address: &str) -> Outcome<Connection> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection(sender))
    }

    /// Sends and reads all of the answer.
    pub(crate) async fn send(&mut self, ask: &Ask) -> Outcome<(u16, Bytes)> {
        self.0.ready().await?;
        let request = Request::builder()
            .method(ask.method)
            .uri(&ask.path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", ask.key))
            .header("content-type", "application/json")
            .body(Body::from(ask.body.clone()))?;
        let answer = self.0.send_request(request).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

/// How long answers took, and how many were no success.
#[derive(Default)]
pub(crate) struct Samples {
    pub(crate) took: Vec<Duration>,
    pub(crate) refused: u64,
    /// From the first to the last.
    pub(crate) lasted: Duration,
}

impl Samples {
    /// Percentile by nearest rank, in milliseconds.
    pub(crate) fn percentile(&mut self, percent: usize) -> f64 {
        self.took.sort_unstable();
        let rank = (self.took.len() * percent).div_ceil(100).max(1);
        self.took
            .get(rank - 1)
            .map_or(f64::NAN, |took| took.as_secs_f64() * 1000.0)
    }

    /// Successes in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.took.len() as f64 / self.lasted.as_secs_f64()
    }
}

/// So many requests over so many connections. With a pace: so many in a second altogether, each at its time whether those before it are
/// answered or not, and timed from when it was due; without: one after the other on each connection.
pub(crate) async fn load(
    address: &str,
    connections: usize,
    requests: usize,
    pace: Option<f64>,
    ask: impl Fn(usize) -> Ask,
) -> Outcome<Samples> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (lane, mut connection) in open.into_iter().enumerate() {
        let asks: Vec<(usize, Ask)> = (lane..requests).step_by(connections).map(|n| (n, ask(n))).collect();
        tasks.spawn(async move {
            let mut samples = Samples::default();
            for (number, ask) in asks {
                let due = pace.map_or_else(Instant::now, |pace| {
                    began + Duration::from_secs_f64(number as f64 / pace)
                });
                tokio::time::sleep_until(due.into()).await;
                match connection.send(&ask).await {
                    Ok((200..=299, _)) => samples.took.push(due.elapsed()),
                    _ => samples.refused += 1,
                }
            }
            samples
        });
    }
    let mut all = Samples::default();
    while let Some(some) = tasks.join_next().await {
        let some = some?;
        all.took.extend(some.took);
        all.refused += some.refused;
    }
    all.lasted = began.elapsed();
    Ok(all)
}
