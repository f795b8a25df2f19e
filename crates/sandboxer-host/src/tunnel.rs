//! Tunnels that somebody else keeps up (ops-bridge): found by name in its configuration, looked at, never brought up.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use sandboxer_model::document::{Node, Value, parse};

/// A tunnel of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Its name.
    pub name: String,
    /// The other end.
    pub host: String,
    /// The port on this machine that leads through it.
    pub port: u16,
    /// Which end it was opened from.
    pub direction: Direction,
}

/// Which end a tunnel was opened from (ops-bridge: `direction`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From this one: somebody listens here as long as it is up.
    Local,
    /// From the other: whoever has the configuration may be either end, and only one of them has the listener.
    Reverse,
}

impl Tunnel {
    /// Whether it answers here. That nobody listens here says nothing of a tunnel whose listener may be at the other end,
    /// which was not asked.
    pub fn look(&self) -> Liveness {
        match (look(self.port), self.direction) {
            (Liveness::Down, Direction::Reverse) => Liveness::Unknown,
            (seen, _) => seen,
        }
    }
}

/// Whether something answers at the near end of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It accepts connections.
    Up,
    /// Nobody listens.
    Down,
    /// It could not be told.
    Unknown,
}

impl Liveness {
    /// The word that is shown.
    pub fn word(self) -> &'static str {
        match self {
            Liveness::Up => "up",
            Liveness::Down => "down",
            Liveness::Unknown => "unknown",
        }
    }
}

/// A look takes at most this long.
const LOOK: Duration = Duration::from_secs(1);
const MOST_BYTES: u64 = 256 * 1024;

/// The tunnel of this name. `direction: local` listens at `local_port` here; `reverse`, the default, was opened from the
/// other end and listens at `remote_port`.
///
/// # Errors
/// The configuration cannot be read, or has no such tunnel.
pub fn find(config: &Path, name: &str) -> Result<Tunnel, String> {
    let mut text = String::new();
    std::fs::File::open(config)
        .and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text))
        .map_err(|error| format!("cannot read {}: {error}", config.display()))?;
    let file = config.display().to_string();
    let root =
        parse(&file, &text).map_err(|problems| problems.first().map_or_else(String::new, ToString::to_string))?;
    let tunnels = entry(&root, "tunnels").ok_or_else(|| format!("{file} lists no tunnels"))?;
    let tunnel = entry(tunnels, name).ok_or_else(|| format!("{file} has no tunnel `{name}`"))?;
    let (direction, key) = match entry(tunnel, "direction").map(text_of) {
        Some("local") => (Direction::Local, "local_port"),
        _ => (Direction::Reverse, "remote_port"),
    };
    let port = entry(tunnel, key)
        .and_then(|port| match &port.value {
            Value::Number(number, _) => number.as_u64().and_then(|port| u16::try_from(port).ok()),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        })
        .filter(|port| *port != 0)
        .ok_or_else(|| format!("the tunnel `{name}` of {file} has no `{key}`"))?;
    Ok(Tunnel {
        name: name.to_owned(),
        host: entry(tunnel, "host").map_or("", text_of).to_owned(),
        port,
        direction,
    })
}

/// Whether something answers at this port of this machine.
pub fn look(port: u16) -> Liveness {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpStream::connect_timeout(&address, LOOK) {
        Ok(_) => Liveness::Up,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Liveness::Down,
        Err(_) => Liveness::Unknown,
    }
}

fn entry<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    match &node.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
        _ => None,
    }
}

fn text_of(node: &Node) -> &str {
    match &node.value {
        Value::Text(text) => text,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test makes its own file")]
    fn tunnels_are_found_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("tunnels.yaml");
        let text = "tunnels:\n  vm:\n    host: box\n    remote_port: 12222\n    local_port: 22\n  db:\n    host: box\n    direction: local\n    local_port: 5432\n    remote_port: 1\n  bad: {host: x}\n";
        std::fs::write(&file, text).expect("a file");
        assert_eq!(find(&file, "vm").map(|tunnel| tunnel.port), Ok(12222));
        assert_eq!(
            find(&file, "db").map(|tunnel| (tunnel.port, tunnel.host)),
            Ok((5432, "box".to_owned()))
        );
        assert!(find(&file, "bad").is_err_and(|why| why.contains("remote_port")));
        assert!(find(&file, "none").is_err_and(|why| why.contains("no tunnel")));
        assert!(find(&dir.path().join("missing"), "vm").is_err());
    }

    #[test]
    fn a_port_is_up_while_somebody_listens() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listens");
        let port = listener.local_addr().expect("an address").port();
        assert_eq!(look(port), Liveness::Up);
        drop(listener);
        assert_eq!(look(port), Liveness::Down);
    }
    #[test]
    fn nobody_says_down_of_a_listener_that_may_be_elsewhere() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listens");
        let tunnel = |direction| Tunnel {
            name: "t".to_owned(),
            host: "box".to_owned(),
            port: listener.local_addr().expect("an address").port(),
            direction,
        };
        let (local, reverse) = (tunnel(Direction::Local), tunnel(Direction::Reverse));
        assert_eq!((local.look(), reverse.look()), (Liveness::Up, Liveness::Up));
        drop(listener);
        assert_eq!((local.look(), reverse.look()), (Liveness::Down, Liveness::Unknown));
    }
}
