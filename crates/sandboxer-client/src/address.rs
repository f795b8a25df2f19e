//! Where a server is, and whether a key may be sent there.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::Url;
use sandboxer_model::error::{ErrorCode, UserError};

/// Where a server is: `http://…`, `https://…` or `unix:/path/to/socket`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    base: Url,
    socket: Option<PathBuf>,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// `InvalidInput`: it is none of the three, or has a name, password, query or fragment in it.
    pub fn parse(text: &str) -> Result<Address, UserError> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(wrong(text, "the path of a socket is absolute"));
            }
            let base = Url::parse("http://localhost/").map_err(|error| wrong(text, &error.to_string()))?;
            return Ok(Address {
                base,
                socket: Some(PathBuf::from(path)),
            });
        }
        let mut base = Url::parse(text).map_err(|error| wrong(text, &error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(wrong(text, "it is neither http, https nor a socket"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            // Not quoted: it holds a password.
            let what = "the address of the server has a name or password in it";
            return Err(UserError::new(ErrorCode::InvalidInput, what).hint("give a key in SANDBOXER_API_KEY instead"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong(text, "it has a query or fragment"));
        }
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        Ok(Address { base, socket: None })
    }

    /// The socket, where it is one.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Whether it is spoken to with TLS.
    pub fn is_encrypted(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// Whether nothing that is sent there leaves this machine.
    fn is_local(&self) -> bool {
        self.socket.is_some()
            || self.base.host_str().is_some_and(|host| {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            })
    }

    /// Whether a key may be sent there.
    ///
    /// # Errors
    /// `InvalidInput`: anybody on the way could read it.
    pub(crate) fn admits_key(&self) -> Result<(), UserError> {
        if self.is_encrypted() || self.is_local() {
            return Ok(());
        }
        let what = format!("no key is sent to {self}: anybody on the way could read it");
        Err(UserError::new(ErrorCode::InvalidInput, what)
            .hint("use an https:// address, or one of this machine behind an SSH tunnel"))
    }

    /// The address of an operation; the path has no leading `/` and its parts are escaped.
    pub(crate) fn url(&self, path: &str) -> Result<Url, UserError> {
        self.base
            .join(path)
            .map_err(|error| UserError::new(ErrorCode::Internal, format!("no address of `{path}`: {error}")))
    }

    /// Name and port to connect to, without the brackets of an address of six.
    pub(crate) fn host_and_port(&self) -> (String, u16) {
        let host = self.base.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        (host, self.base.port_or_known_default().unwrap_or(80))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.socket {
            Some(path) => write!(f, "unix:{}", path.display()),
            None => f.write_str(self.base.as_str().trim_end_matches('/')),
        }
    }
}

fn wrong(text: &str, why: &str) -> UserError {
    let short: String = text.chars().take(200).collect();
    UserError::new(
        ErrorCode::InvalidInput,
        format!("`{short}` is not the address of a server: {why}"),
    )
    .hint("write https://name, http://127.0.0.1:8080 or unix:/path/to/socket")
}

/// A part of a path, such as an id that somebody wrote, as it stands in an address.
pub(crate) fn part(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || byte == b'.' && !matches!(text, "." | "..") {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, url) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/me"),
            ("https://box.example/sbx/", "https://box.example/sbx/v1/me"),
            ("unix:/run/sbx.sock", "http://localhost/v1/me"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.url("v1/me").unwrap().as_str(), url);
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
        }
        for text in [
            "",
            "box",
            "ftp://box",
            "unix:sock",
            "http://",
            "http://a?b",
            "http://a#b",
        ] {
            assert_eq!(
                Address::parse(text).unwrap_err().code,
                ErrorCode::InvalidInput,
                "{text}"
            );
        }
        let secret = Address::parse("http://me:pw@box").unwrap_err();
        assert!(!secret.message.contains("pw"), "{secret}");
    }

    #[test]
    fn keys_go_to_this_machine_or_over_tls() {
        for text in [
            "http://localhost:1",
            "http://127.0.0.9",
            "http://[::1]:8",
            "unix:/s",
            "https://box",
        ] {
            assert!(Address::parse(text).unwrap().admits_key().is_ok(), "{text}");
        }
        for text in [
            "http://box",
            "http://10.0.0.1",
            "http://localhost.example",
            "http://127.0.0.1.example",
        ] {
            assert!(Address::parse(text).unwrap().admits_key().is_err(), "{text}");
        }
    }

    #[test]
    fn no_part_of_a_path_leads_elsewhere() {
        assert_eq!(part("sbx-01m"), "sbx-01m");
        assert_eq!(part("a/../b?c#d"), "a%2F..%2Fb%3Fc%23d");
        assert_eq!(part(".."), "%2E%2E");
    }
}
