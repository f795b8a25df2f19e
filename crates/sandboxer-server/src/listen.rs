//! Where a server listens, and what it refuses to: an address that others can reach needs TLS, or a proxy that has it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use sandboxer_model::error::{ErrorCode, UserError};

/// One address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A port of TCP; 0: any that is free.
    Tcp(SocketAddr),
    /// A socket in the file system, for its owner only.
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Listen, UserError> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(wrong(text));
            }
            return Ok(Listen::Unix(PathBuf::from(path)));
        }
        let text = text.strip_prefix("http://").unwrap_or(text);
        let address = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}").parse(),
            None => text.parse(),
        };
        address.map(Listen::Tcp).map_err(|_| wrong(text))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn wrong(text: &str) -> UserError {
    let what = format!("`{text}` is no address to listen on");
    UserError::new(ErrorCode::InvalidInput, what).hint("write `127.0.0.1:8600`, `[::1]:8600` or `unix:/path/to/socket`")
}

/// What protects what is sent over TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// Nothing: only this machine may reach it.
    None,
    /// TLS, with this certificate chain and key, both PEM.
    Tls {
        /// The chain, the server's own first.
        certificates: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// A proxy in front of it, which says where requests come from (`X-Forwarded-For`).
    Proxy,
}

/// Refuses addresses that others can reach without protection.
///
/// # Errors
/// `InvalidInput`.
pub fn refuse_open(listen: &[Listen], protection: &Protection) -> Result<(), UserError> {
    if *protection != Protection::None {
        return Ok(());
    }
    for one in listen {
        if let Listen::Tcp(address) = one
            && !address.ip().is_loopback()
        {
            let what = format!("{address} can be reached by others, who would see every key that is sent there");
            return Err(UserError::new(ErrorCode::InvalidInput, what)
                .hint("give `--tls-cert` and `--tls-key`, or `--behind-proxy` where a proxy in front has TLS")
                .hint("or listen on a loopback address, such as `--listen 127.0.0.1:8600`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_reach_needs_protection() {
        let of = |text: &str| vec![text.parse::<Listen>().unwrap()];
        for open in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"] {
            assert!(refuse_open(&of(open), &Protection::None).is_err(), "{open}");
            assert!(refuse_open(&of(open), &Protection::Proxy).is_ok(), "{open}");
        }
        for closed in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "unix:/run/x"] {
            assert!(refuse_open(&of(closed), &Protection::None).is_ok(), "{closed}");
        }
        for wrong in ["", "unix:", "8600", "example.com:80", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }
}
