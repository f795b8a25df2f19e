//! TCP and TLS to one checked address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::place::{Place, Scheme};

/// For how long one of several addresses is tried.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes that the head of an answer may have.
const MOST_HEAD: usize = 64 * 1024;
/// Headers that an answer may have.
const MOST_HEADERS: usize = 64;

pub(crate) type Body = http_body_util::Full<bytes::Bytes>;

/// Speaks HTTP to the first of these addresses that answers. They were checked: nothing is looked up again.
///
/// # Errors
/// Why none did.
pub(crate) async fn open(
    place: &Place,
    addresses: &[SocketAddr],
    tls: impl Fn() -> Result<Arc<ClientConfig>, String>,
) -> Result<SendRequest<Body>, String> {
    let stream = connect(addresses).await?;
    let _ = stream.set_nodelay(true);
    match place.scheme {
        Scheme::Http => speak(stream).await,
        Scheme::Https => {
            let name = ServerName::try_from(place.host.clone()).map_err(|_| "its host is no name".to_owned())?;
            let stream = TlsConnector::from(tls()?)
                .connect(name, stream)
                .await
                .map_err(|error| format!("TLS: {error}"))?;
            speak(stream).await
        }
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut why = "it has no address".to_owned();
    for address in addresses {
        why = match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => format!("cannot connect to {address}: {}", plain(&error)),
            Err(_) => format!("{address} does not answer"),
        };
    }
    Err(why)
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<SendRequest<Body>, String> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MOST_HEAD)
        .max_headers(MOST_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // It ends with the sender, or with the answer; its error is also the sender's.
    tokio::spawn(connection);
    Ok(sender)
}

/// TLS as this machine trusts it: what its administrator installed, or the file that `SSL_CERT_FILE` names.
///
/// # Errors
/// There is nothing to trust.
pub(crate) fn trust() -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(
            "this machine trusts no certificate authority: install ca-certificates or set SSL_CERT_FILE".to_owned(),
        );
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// An error of the system without its number.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}
