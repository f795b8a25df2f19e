//! Connections: accepted, secured and served. One that sends no request in time is closed.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::dispatch::Peer;
use crate::guests::{Guest, Guests, ShownOut};
use crate::log::Level;
use crate::socket::Socket;
use crate::state::State;

/// How long the head of a request may take, and how long a connection may be idle between two.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of the head of a request at most.
const MOST_HEAD: usize = 16 * 1024;
/// Headers of a request at most.
const MOST_HEADERS: usize = 64;
/// What is said to who comes when there is no room; written before anything is read.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
/// How long the first request of a connection is waited for once the server stops: it is refused in words, and not cut off.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// How long a connection may still take whose place somebody else has.
const FAREWELL: Duration = Duration::from_millis(50);
/// Wait after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where requests that come through a proxy say they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// Nobody is believed.
    Ignored,
    /// The proxy in front is: the last address it names.
    Believed,
}

/// One door: a listener and how what comes through it is treated.
pub(crate) struct Door {
    pub(crate) socket: Socket,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) forwarded: Forwarded,
}

/// Lets connections in until the server stops.
pub(crate) async fn accept(door: Door, router: Router, state: Arc<State>, guests: Arc<Guests>) {
    loop {
        let accepted = tokio::select! {
            accepted = next(&door.socket) => accepted,
            () = state.stop.cancelled() => return door.socket.close(),
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                state.log.line(
                    Level::Warn,
                    "cannot accept a connection",
                    &[("why", &error.to_string())],
                );
                state.clock.sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let counted = match door.forwarded {
            Forwarded::Ignored => from,
            // The proxy's own.
            Forwarded::Believed => None,
        };
        let Some(guest) = guests.enter(counted, state.clock.monotonic()) else {
            state.metrics.turned_away.inc();
            tokio::spawn(turn_away(stream));
            continue;
        };
        let serving = Serving {
            router: router.clone(),
            state: Arc::clone(&state),
            from,
            forwarded: door.forwarded,
        };
        let tls = door.tls.clone();
        guests.connections.spawn(async move {
            serving.state.metrics.connections.inc();
            serving.run(stream, tls, &Arc::new(guest)).await;
            serving.state.metrics.connections.dec();
        });
    }
}

/// A connection of either kind.
enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn next(socket: &Socket) -> std::io::Result<(Stream, Option<IpAddr>)> {
    match socket {
        Socket::Tcp(listener) => {
            let (stream, from) = listener.accept().await?;
            // Answers are small, and somebody waits for each.
            stream.set_nodelay(true)?;
            Ok((Stream::Tcp(stream), Some(from.ip())))
        }
        Socket::Unix(listener, _) => Ok((Stream::Unix(listener.accept().await?.0), None)),
    }
}

async fn turn_away(stream: Stream) {
    // Whoever does not take it learns nothing, and is gone all the same.
    let _ = match stream {
        Stream::Tcp(mut stream) => stream.write_all(NO_ROOM).await,
        Stream::Unix(mut stream) => stream.write_all(NO_ROOM).await,
    };
}

struct Serving {
    router: Router,
    state: Arc<State>,
    from: Option<IpAddr>,
    forwarded: Forwarded,
}

impl Serving {
    async fn run(&self, stream: Stream, tls: Option<TlsAcceptor>, guest: &Arc<Guest>) {
        match (stream, tls) {
            (Stream::Unix(stream), _) => self.serve(stream, guest).await,
            (Stream::Tcp(stream), None) => self.serve(stream, guest).await,
            (Stream::Tcp(stream), Some(tls)) => {
                let handshake = tls.accept(stream);
                let stream = tokio::select! {
                    stream = handshake => stream,
                    () = guest.shown_out() => return,
                    () = self.state.clock.sleep(HANDSHAKE_PATIENCE) => return,
                };
                if let Ok(stream) = stream {
                    self.serve(stream, guest).await;
                }
            }
        }
    }

    async fn serve<S>(&self, stream: S, guest: &Arc<Guest>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (router, from, forwarded) = (self.router.clone(), self.from, self.forwarded);
        let worker = Arc::clone(guest);
        let has_asked = Arc::new(AtomicBool::new(false));
        let asks = Arc::clone(&has_asked);
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            asks.store(true, Ordering::Relaxed);
            let peer = peer(from, forwarded, request.headers());
            request.extensions_mut().insert(peer);
            let (router, worker) = (router.clone(), Arc::clone(&worker));
            async move {
                // Not before it is begun: what only waits behind an answer that nobody takes is no work.
                match worker.work() {
                    Ok(work) => router
                        .oneshot(request.map(Body::new))
                        .await
                        .map(|answer| work.until_sent(answer)),
                    Err(ShownOut) => Ok(no_room()),
                }
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .max_header_size(MOST_HEAD)
            .max_headers(MOST_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        // What a peer does wrong on its connection is its own affair.
        let _ = tokio::select! {
            ended = connection.as_mut() => ended,
            () = guest.shown_out() => {
                self.state.metrics.turned_away.inc();
                // What was answered is sent, and what has just come is refused in words.
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.state.clock.sleep(FAREWELL) => return,
                }
            }
            () = self.state.stop.cancelled() => {
                // Who has just come in may have said something that nobody has read yet.
                if !has_asked.load(Ordering::Relaxed) {
                    tokio::select! {
                        _ = connection.as_mut() => return,
                        () = self.state.clock.sleep(LAST_WORDS) => {}
                    }
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
    }
}

/// What is said to a request that came as its connection was given up for another.
fn no_room() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

fn peer(from: Option<IpAddr>, forwarded: Forwarded, headers: &HeaderMap) -> Peer {
    let named = || {
        let last = headers.get_all("x-forwarded-for").iter().next_back()?;
        last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
    };
    match forwarded {
        Forwarded::Ignored => Peer(from),
        Forwarded::Believed => Peer(named().or(from)),
    }
}
