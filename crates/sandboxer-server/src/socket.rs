//! Taking the addresses a server listens on.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sandboxer_model::error::{ErrorCode, UserError};
use tokio::net::{TcpListener, UnixListener};

use crate::listen::Listen;

/// A taken address.
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Socket {
    /// Gives the address back. A socket in the file system that nobody listens on would only puzzle.
    pub(crate) fn close(self) {
        if let Socket::Unix(listener, path) = self {
            // Who connects between the two is refused either way.
            let _ = std::fs::remove_file(path);
            drop(listener);
        }
    }
}

/// Takes an address.
///
/// # Errors
/// `Busy` when somebody else has it, `Unavailable`.
pub(crate) async fn take(listen: &Listen) -> Result<(Socket, String), UserError> {
    match listen {
        Listen::Tcp(address) => {
            let socket = TcpListener::bind(address)
                .await
                .map_err(|error| refused(listen, &error))?;
            let taken = socket.local_addr().map_err(|error| refused(listen, &error))?;
            Ok((Socket::Tcp(socket), taken.to_string()))
        }
        Listen::Unix(path) => {
            let socket = take_path(path).map_err(|error| refused(listen, &error))?;
            Ok((Socket::Unix(socket, path.clone()), listen.to_string()))
        }
    }
}

/// A socket that its owner died on is replaced; one that somebody listens on is not.
fn take_path(path: &Path) -> std::io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_dead(path) => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        other => other?,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn is_dead(path: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn refused(listen: &Listen, error: &std::io::Error) -> UserError {
    let code = if error.kind() == ErrorKind::AddrInUse {
        ErrorCode::Busy
    } else {
        ErrorCode::Unavailable
    };
    UserError::new(code, format!("cannot listen on {listen}: {error}"))
        .hint("another server may have it; see `--listen`")
}
