//! Cutting and mending the cable of a host; and what its outside world was asked.

use crate::command::must;
use crate::host::Host;
use crate::skip::Unavailable;

/// What a partition drops, silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Everything.
    Both,
    /// What clients send to the host: it hears nothing, and still speaks.
    ToHost,
    /// What the host sends: it hears all, and is not heard.
    FromHost,
}

/// A public address, as seen from hosts: `GET /` answers `outside`.
pub const PUBLIC: &str = "198.51.100.80";
/// Another one, for lists that allow the first.
pub const OTHER_PUBLIC: &str = "198.51.100.81";
/// The metadata address of cloud machines: `GET /latest/meta-data/` answers `metadata`.
pub const METADATA: &str = "169.254.169.254";
/// The resolver of hosts: every name below `.example` is [`PUBLIC`].
pub const RESOLVER: &str = "203.0.113.53";

impl Host {
    /// Cuts the cable between this machine and the host: packets vanish. One cut replaces another.
    ///
    /// # Errors
    /// The rules could not be loaded.
    pub fn partition(&self, direction: Direction) -> Result<(), Unavailable> {
        let (input, output) = match direction {
            Direction::Both => ("drop", "drop"),
            Direction::ToHost => ("drop", "accept"),
            Direction::FromHost => ("accept", "drop"),
        };
        let rules = format!(
            "table inet {TABLE} {{}}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n\
             chain input {{ type filter hook prerouting priority -400; iifname \"eth0\" {input}; }}\n\
             chain output {{ type filter hook postrouting priority 400; oifname \"eth0\" {output}; }}\n}}\n"
        );
        must(&mut self.program(&["nft", "-f", "-"]), rules.as_bytes()).map(drop)
    }

    /// Mends the cable.
    ///
    /// # Errors
    /// The rules could not be loaded.
    pub fn heal(&self) -> Result<(), Unavailable> {
        let rules = format!("table inet {TABLE} {{}}\ndelete table inet {TABLE}\n");
        must(&mut self.program(&["nft", "-f", "-"]), rules.as_bytes()).map(drop)
    }

    /// The names the resolver was asked for so far.
    pub fn asked(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.file("/run/testbed/asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// The table of the cut.
pub(crate) const TABLE: &str = "testbed_cut";
