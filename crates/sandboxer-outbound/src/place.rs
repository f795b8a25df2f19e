//! An address as written, taken apart.

use std::net::IpAddr;

use hyper::Uri;

/// The longest address that is taken.
const LONGEST: usize = 2048;

/// How a place is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) scheme: Scheme,
    /// A name, or an address without brackets; in lower case.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What goes into the header `Host`.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) path: String,
}

impl Place {
    /// Takes an address apart.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn parse(url: &str) -> Result<Place, String> {
        if url.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} characters"));
        }
        if url.contains('#') {
            return Err("it has a fragment, which is never sent".to_owned());
        }
        let uri: Uri = url
            .parse()
            .map_err(|_| "it is not an address such as https://example.org/path".to_owned())?;
        let scheme = match uri.scheme_str() {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
            _ => return Err("it begins neither with https:// nor with http://".to_owned()),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user name or password; these would end up in records".to_owned());
        }
        let host = authority.host().to_ascii_lowercase();
        let host = match host.strip_prefix('[') {
            // Zones mean nothing on another machine.
            Some(rest) => rest.strip_suffix(']').filter(|inner| inner.parse::<IpAddr>().is_ok()),
            None => Some(host.as_str()).filter(|host| is_name(host)),
        };
        let host = host.ok_or("its host is neither a name nor an address")?.to_owned();
        let port = match (authority.port(), scheme) {
            (Some(port), _) => port
                .as_str()
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or("its port is none")?,
            // What is written after the host and is not a number is no port.
            (None, _) if authority.as_str().len() != authority.host().len() => {
                return Err("its port is none".to_owned());
            }
            (None, Scheme::Https) => 443,
            (None, Scheme::Http) => 80,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Place {
            scheme,
            host,
            port,
            authority: authority.as_str().to_owned(),
            path: if path.starts_with('/') {
                path.to_owned()
            } else {
                format!("/{path}")
            },
        })
    }

    /// The address, where one is written instead of a name.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Whether it could be looked up as a name: what else a resolver would make of it is judged by what it answers.
fn is_name(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 253
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let place = Place::parse("HTTPS://Hooks.Example.org/a/b?c=d").unwrap();
        assert_eq!(
            (place.scheme, place.host.as_str(), place.port, place.path.as_str()),
            (Scheme::Https, "hooks.example.org", 443, "/a/b?c=d")
        );
        let place = Place::parse("http://[::1]:8000").unwrap();
        assert_eq!(
            (place.literal(), place.port, place.path.as_str()),
            ("::1".parse().ok(), 8000, "/")
        );
        assert_eq!(place.authority, "[::1]:8000");
        assert_eq!(Place::parse("https://h?x=1").unwrap().path, "/?x=1");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "",
            "/",
            "x",
            "example.org",
            "//example.org",
            "ftp://example.org",
            "file:///etc/passwd",
            "https://",
            "https:///path",
            "https://a:b@example.org/",
            "https://@example.org/",
            "https://user@example.org",
            "https://example.org:0/",
            "https://example.org:65536/",
            "https://example.org:",
            "https://example.org:x/",
            "https://[::1",
            "https://[fe80::1%25eth0]/",
            "https://[v1.x]/",
            "https://exa mple.org/",
            "https://ex\tample/",
            "https://example.org/\r\nX: y",
            "https://example.org/a b",
            "https://exämple.org/",
            "https://example.org/#x",
            "https://a%2eb/",
            "https://a,b/",
            "javascript:alert(1)",
            "gopher://x/",
            "unix:/run/x.sock",
        ] {
            assert!(Place::parse(url).is_err(), "{url:?}: {:?}", Place::parse(url));
        }
        assert!(Place::parse(&format!("https://example.org/{}", "x".repeat(LONGEST))).is_err());
    }
}
