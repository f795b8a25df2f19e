//! The port: resolve once, check, connect, one request, a bounded answer.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response};
use rustls::ClientConfig;
use sandboxer_extension::port::{ChosenBy, Outbound, OutboundError, OutboundErrorKind, OutboundReply, OutboundRequest};
use tokio::runtime::Handle;

use crate::address::is_public;
use crate::allow::Allow;
use crate::connection::{self, Body, plain};
use crate::place::{Place, Scheme};

/// Bytes of an answer that are read; the rest is not waited for.
pub const MOST_BODY: usize = 64 * 1024;
/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 4;

/// Turns a name and a port into addresses.
pub type Resolver = Arc<dyn Fn(&str, u16) -> std::io::Result<Vec<SocketAddr>> + Send + Sync>;

/// Sends requests over HTTP/1.1, each over a connection of its own. No redirect is followed, no proxy is used.
///
/// It works on a thread of its own, which is started with the first request: most commands send none, and a caller needs
/// no runtime that knows sockets. A caller that goes away does not take back what was sent; each request ends by its own
/// time-out.
pub struct HttpOutbound {
    inner: Arc<Inner>,
    thread: OnceLock<Result<Handle, String>>,
}

struct Inner {
    allow: Allow,
    resolver: Resolver,
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl HttpOutbound {
    /// A client that lets users reach the public internet and what the operator allows beside it.
    pub fn new(allow: Allow) -> HttpOutbound {
        HttpOutbound::with_resolver(allow, Arc::new(system_resolver))
    }

    /// The same with another way to look up names.
    pub fn with_resolver(allow: Allow, resolver: Resolver) -> HttpOutbound {
        HttpOutbound {
            inner: Arc::new(Inner {
                allow,
                resolver,
                tls: OnceLock::new(),
            }),
            thread: OnceLock::new(),
        }
    }

    fn handle(&self) -> Result<&Handle, String> {
        self.thread.get_or_init(start_thread).as_ref().map_err(Clone::clone)
    }
}

fn system_resolver(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    use std::net::ToSocketAddrs as _;
    Ok((host, port).to_socket_addrs()?.collect())
}

fn start_thread() -> Result<Handle, String> {
    let cannot = |error: std::io::Error| format!("cannot start the thread for requests: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(cannot)?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("outbound".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(cannot)?;
    Ok(handle)
}

#[async_trait]
impl Outbound for HttpOutbound {
    fn admits(&self, url: &str, chosen_by: ChosenBy) -> Result<(), OutboundError> {
        let failed = |why| error(url, OutboundErrorKind::Forbidden, why);
        let place = Place::parse(url).map_err(failed)?;
        self.inner.admits(&place, chosen_by).map_err(failed)
    }

    async fn send(&self, request: OutboundRequest) -> Result<OutboundReply, OutboundError> {
        let url = request.url.clone();
        let unreachable = |why: String| error(&url, OutboundErrorKind::Unreachable, why);
        let handle = self.handle().map_err(unreachable)?;
        let (inner, timeout) = (Arc::clone(&self.inner), request.timeout);
        let work = handle.spawn(async move {
            match tokio::time::timeout(timeout, inner.send(&request)).await {
                Ok(outcome) => outcome.map_err(|(kind, why)| error(&request.url, kind, why)),
                Err(_) => {
                    let why = format!("nothing came back within {timeout:?}");
                    Err(error(&request.url, OutboundErrorKind::TimedOut, why))
                }
            }
        });
        work.await.unwrap_or_else(|_| {
            Err(error(
                &url,
                OutboundErrorKind::Lost,
                "the request was given up".to_owned(),
            ))
        })
    }
}

type Failed = (OutboundErrorKind, String);

impl Inner {
    /// What can be said before a name is looked up.
    fn admits(&self, place: &Place, chosen_by: ChosenBy) -> Result<(), String> {
        if chosen_by == ChosenBy::Operator || self.allow.names(place) {
            return Ok(());
        }
        let is_local = place.host == "localhost" || place.host.ends_with(".localhost");
        let literal = place.literal().or(is_local.then_some([127, 0, 0, 1].into()));
        match literal {
            Some(address) => self.judge(place, &[SocketAddr::new(address, place.port)]),
            // Its address may be in one of the blocks.
            None if self.allow.has_blocks() => Ok(()),
            None => plainly_public(place),
        }
    }

    /// Whether a user's request may go to these addresses: all of them, since any could be the one that is taken.
    fn judge(&self, place: &Place, addresses: &[SocketAddr]) -> Result<(), String> {
        if addresses.iter().all(|address| self.allow.holds(address.ip())) {
            return Ok(());
        }
        let refused = addresses
            .iter()
            .map(SocketAddr::ip)
            .find(|address| !is_public(*address) && !self.allow.holds(*address));
        match refused {
            Some(address) if address.to_string() == place.host => Err(format!(
                "{address} is not a public address; SANDBOXER_OUTBOUND_ALLOW can let it through"
            )),
            Some(address) => Err(format!(
                "{} leads to {address}, which is not a public address; SANDBOXER_OUTBOUND_ALLOW can let it through",
                place.host
            )),
            None => plainly_public(place),
        }
    }

    async fn send(&self, request: &OutboundRequest) -> Result<OutboundReply, Failed> {
        let forbidden = |why| (OutboundErrorKind::Forbidden, why);
        let unreachable = |why| (OutboundErrorKind::Unreachable, why);
        let place = Place::parse(&request.url).map_err(forbidden)?;
        self.admits(&place, request.chosen_by).map_err(forbidden)?;
        let message = write(request, &place).map_err(forbidden)?;
        let mut addresses = self.resolve(&place).await.map_err(unreachable)?;
        if request.chosen_by == ChosenBy::User && !self.allow.names(&place) {
            self.judge(&place, &addresses).map_err(forbidden)?;
        }
        addresses.truncate(MOST_ADDRESSES);
        let mut sender = connection::open(&place, &addresses, || self.tls())
            .await
            .map_err(unreachable)?;
        let answer = sender.send_request(message).await.map_err(|error| lost(&error))?;
        read(answer).await
    }

    async fn resolve(&self, place: &Place) -> Result<Vec<SocketAddr>, String> {
        if let Some(address) = place.literal() {
            return Ok(vec![SocketAddr::new(address, place.port)]);
        }
        let (resolver, host, port) = (Arc::clone(&self.resolver), place.host.clone(), place.port);
        let found = tokio::task::spawn_blocking(move || resolver(&host, port)).await;
        match found {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            Ok(Err(error)) => Err(format!("cannot look up {}: {}", place.host, plain(&error))),
            _ => Err(format!("cannot look up {}: it has no address", place.host)),
        }
    }

    /// Read once, and only if something goes over TLS.
    fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        self.tls.get_or_init(connection::trust).clone()
    }
}

/// What a user may reach without anybody vouching for it.
fn plainly_public(place: &Place) -> Result<(), String> {
    match (place.scheme, place.port) {
        (Scheme::Https, 443) => Ok(()),
        (Scheme::Http, _) => Err(format!(
            "only https:// is taken; SANDBOXER_OUTBOUND_ALLOW={}:{} would let this place through",
            place.host, place.port
        )),
        (Scheme::Https, port) => Err(format!(
            "only port 443 is taken; SANDBOXER_OUTBOUND_ALLOW={}:{port} would let this place through",
            place.host
        )),
    }
}

fn write(request: &OutboundRequest, place: &Place) -> Result<Request<Body>, String> {
    let mut message = Request::builder()
        .method(request.method.as_str())
        .uri(&place.path)
        .header("host", &place.authority)
        .header("user-agent", concat!("sandboxer/", env!("CARGO_PKG_VERSION")))
        .header("connection", "close");
    for (name, value) in &request.headers {
        message = message.header(name, value);
    }
    message
        .body(Full::new(Bytes::from(request.body.clone())))
        .map_err(|error| format!("the request cannot be written: {error}"))
}

async fn read(answer: Response<hyper::body::Incoming>) -> Result<OutboundReply, Failed> {
    let status = answer.status().as_u16();
    let headers = answer
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    let mut incoming = answer.into_body();
    let mut body = Vec::new();
    while body.len() < MOST_BODY
        && let Some(frame) = incoming.frame().await
    {
        if let Ok(data) = frame.map_err(|error| lost(&error))?.into_data() {
            body.extend_from_slice(data.get(..MOST_BODY - body.len()).unwrap_or(&data));
        }
    }
    Ok(OutboundReply { status, headers, body })
}

fn lost(error: &hyper::Error) -> Failed {
    let why = match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    (OutboundErrorKind::Lost, why)
}

fn error(url: &str, kind: OutboundErrorKind, why: String) -> OutboundError {
    OutboundError {
        url: url.to_owned(),
        kind,
        why,
    }
}
