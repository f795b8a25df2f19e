//! The way to a server for what is no plain request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::transport::Shared;

/// A connection, however it is made.
pub(crate) enum Connection {
    /// On this machine.
    Local(UnixStream),
    /// In the clear.
    Plain(TcpStream),
    /// Over TLS.
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Connects. Has no time limit of its own.
    pub(crate) async fn open(shared: &Shared) -> io::Result<Connection> {
        if let Some(path) = shared.address.socket() {
            return UnixStream::connect(path).await.map(Connection::Local);
        }
        let (host, port) = shared.address.host_and_port();
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        // Keys that people press are not to wait for one another.
        stream.set_nodelay(true)?;
        if !shared.address.is_encrypted() {
            return Ok(Connection::Plain(stream));
        }
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(&shared.tls));
        let stream = connector.connect(name, stream).await?;
        Ok(Connection::Encrypted(Box::new(stream)))
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Local(stream) => Pin::new(stream).poll_read(cx, into),
            Connection::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Connection::Encrypted(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Local(stream) => Pin::new(stream).poll_write(cx, bytes),
            Connection::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Connection::Encrypted(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Local(stream) => Pin::new(stream).poll_flush(cx),
            Connection::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Connection::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Local(stream) => Pin::new(stream).poll_shutdown(cx),
            Connection::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Connection::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
