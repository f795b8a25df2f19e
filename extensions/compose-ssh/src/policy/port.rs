//! Ports of a service.

use sandboxer_model::document::Value;
use serde::{Deserialize, Serialize};

use super::fields::At;

/// Ports one service can have.
const MOST_PORTS: usize = 64;

/// A port that a service listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// Inside.
    pub port: u16,
    /// How it is spoken to.
    pub protocol: Protocol,
}

/// How a port is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// As Compose writes it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

/// `ports`: what is said of the host's side is not used, since the host gives out its own.
pub(super) fn ports(at: &At<'_>) -> Vec<Port> {
    let mut all = Vec::new();
    for item in at.items().unwrap_or_default() {
        match &item.node.value {
            Value::Map(_) => all.extend(long(&item)),
            _ => all.extend(short(&item).unwrap_or_default()),
        }
    }
    bounded(at, all)
}

/// `expose`: ports that others inside may use.
pub(super) fn expose(at: &At<'_>) -> Vec<Port> {
    let mut all = Vec::new();
    for item in at.items().unwrap_or_default() {
        if let Some(text) = item.text() {
            all.extend(container_side(&item, &text).unwrap_or_default());
        }
    }
    bounded(at, all)
}

fn bounded(at: &At<'_>, mut all: Vec<Port>) -> Vec<Port> {
    all.sort_unstable();
    all.dedup();
    if all.len() > MOST_PORTS {
        at.refuse::<()>(format!("names {} ports: at most {MOST_PORTS}", all.len()));
        all.clear();
    }
    all
}

fn short(at: &At<'_>) -> Option<Vec<Port>> {
    let text = at.text()?;
    // `[[address:]host:]container[/protocol]`: only the last part is ours.
    let (all, protocol) = match text.rsplit_once('/') {
        Some((all, protocol)) => (all, format!("/{protocol}")),
        None => (text.as_str(), String::new()),
    };
    let container = all.rsplit(':').next().unwrap_or(all);
    let host = all.strip_suffix(container).unwrap_or("");
    let plain = |b: u8| b.is_ascii_hexdigit() || b".:-[]".contains(&b);
    if !host.bytes().all(plain) {
        return at.refuse(format!("is `{text}`, not a port such as 80 or 8080:80"));
    }
    container_side(at, &format!("{container}{protocol}"))
}

fn long(at: &At<'_>) -> Option<Port> {
    let mut fields = at.fields()?;
    let port = fields.take("target").and_then(|target| {
        let text = target.text()?;
        number(&text).or_else(|| target.refuse(format!("is `{text}`, not a port")))
    });
    let protocol = match fields.take("protocol") {
        Some(protocol) => protocol_of(&protocol)?,
        None => Protocol::Tcp,
    };
    if let Some(mode) = fields.take("mode") {
        mode.one_of(&["host", "ingress"])?;
    }
    fields.drop_keys(
        &["published", "host_ip", "name", "app_protocol"],
        "is not used: the host gives out its own ports",
    );
    fields.finish();
    match port {
        Some(port) => Some(Port { port, protocol }),
        None => at.refuse("names no target"),
    }
}

fn protocol_of(at: &At<'_>) -> Option<Protocol> {
    Some(match at.one_of(&["tcp", "udp"])? {
        "udp" => Protocol::Udp,
        _ => Protocol::Tcp,
    })
}

/// `80`, `80-82`, `80/udp`.
fn container_side(at: &At<'_>, text: &str) -> Option<Vec<Port>> {
    let wrong = || format!("is `{text}`, not a port such as 80, 80-82 or 80/udp");
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return at.refuse(wrong()),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (Some(first), Some(last)) = (number(first), number(last)) else {
        return at.refuse(wrong());
    };
    if last < first || usize::from(last - first) >= MOST_PORTS {
        return at.refuse(wrong());
    }
    Some((first..=last).map(|port| Port { port, protocol }).collect())
}

fn number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|port| *port != 0)
}
