//! The addresses of a sandbox and the rules of the packet filter around it. Pure: the same id gives the same plan.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use sandboxer_extension::{ErrorKind, ExtensionError};
use sandboxer_model::document::{Destination, parse_destination};
use sandboxer_model::profile::{Network, NetworkDefault};

/// Networks one sandbox can have: a block of /25 holds as many of /28.
pub(crate) const MOST_NETWORKS: usize = 8;
/// Every sandbox gets one block of this size, and carves a network out of it for each that its file names.
pub(crate) const BLOCK_PREFIX: u8 = 25;
/// Blocks that are proposed to the host, which takes the first that is free there.
const PROPOSED: u32 = 24;
/// Blocks are taken from 10.64.0.0/12: home and office networks rarely use it, and the engines' own defaults never do:
/// Docker's pools are elsewhere, and Podman's network is 10.88.0.0/16 and its pools begin at 10.89.0.0 (containers.conf(5),
/// `default_subnet` and `default_subnet_pools`), which no route shows as long as nothing runs there.
const POOL: u32 = 0x0A40_0000;
const POOL_BITS: u8 = 20;
/// Link-local addresses, the metadata services of clouds among them: never part of an open network.
const LINK_LOCAL: &str = "169.254.0.0/16";
/// Where other sandboxes are, those of earlier releases included.
const NEIGHBOURS: &str = "10.64.0.0/10";
/// Stands for any address of the internet: reserved for documentation (RFC 5737), so nobody is bothered by the probe.
pub(crate) const PUBLIC: &str = "public:198.51.100.1:443";
/// Where clouds tell a machine its secrets.
pub(crate) const METADATA: &str = "metadata:169.254.169.254:80";
/// An interface name is at most this long in Linux (IFNAMSIZ less its end).
const MOST_INTERFACE: usize = 15;

/// What leaves a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Nothing.
    Nothing,
    /// What is listed.
    Listed(Vec<Allowed>),
    /// Everything but the host, its neighbours and link-local addresses.
    Anything,
}

/// One entry of the allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// A name, resolved on the host when the sandbox is made.
    Name { name: String, port: Option<u16> },
    /// A block of addresses.
    Block {
        first: Ipv4Addr,
        prefix: u8,
        port: Option<u16>,
    },
}

/// Reads `network` of a profile; refuses what this backend would not hold.
pub(crate) fn leaves(network: &Network) -> Result<Leaves, ExtensionError> {
    if network.default == NetworkDefault::Allow {
        return Ok(Leaves::Anything);
    }
    let mut listed = Vec::new();
    for entry in &network.egress {
        let refuse = |why: &str, hint: &str| {
            let what = format!("ext.compose-ssh cannot open `{entry}` of `network.egress`: {why}");
            Err(ExtensionError::new(ErrorKind::CannotEnforce, what).hint(hint))
        };
        match parse_destination(entry) {
            Ok(Destination::Name { below: true, .. }) => {
                return refuse(
                    "addresses are opened, and the names below a name are not known beforehand",
                    "list each name, or a block of addresses",
                );
            }
            Ok(Destination::Name { name, port, .. }) => listed.push(Allowed::Name { name, port }),
            Ok(Destination::Block {
                address: IpAddr::V4(first),
                prefix,
                port,
            }) => listed.push(Allowed::Block { first, prefix, port }),
            Ok(Destination::Block { .. }) => {
                return refuse("its sandboxes have no IPv6", "list the IPv4 block");
            }
            Err(why) => return refuse(&why, "see docs/reference/profile.md"),
        }
    }
    if listed.is_empty() {
        return Ok(Leaves::Nothing);
    }
    Ok(Leaves::Listed(listed))
}

impl Leaves {
    /// The names that the host is to resolve.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Leaves::Listed(listed) => listed
                .iter()
                .filter_map(|one| match one {
                    Allowed::Name { name, .. } => Some(name.as_str()),
                    Allowed::Block { .. } => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// The blocks that are proposed for a sandbox, in order.
pub(crate) fn proposed_blocks(id: &str) -> Vec<Ipv4Addr> {
    let digest = blake3::hash(id.as_bytes());
    let bytes = digest.as_bytes();
    let seed = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let blocks = 1u32 << (BLOCK_PREFIX - (32 - POOL_BITS));
    (0..PROPOSED)
        // A step that is odd visits every block of a power of two.
        .map(|try_| {
            let block = seed.wrapping_add(try_.wrapping_mul(seed | 1)) % blocks;
            Ipv4Addr::from(POOL + (block << (32 - BLOCK_PREFIX)))
        })
        .collect()
}

/// The name that the bridges of a sandbox begin with; a number for each of its networks follows.
pub(crate) fn bridge_prefix(id: &str) -> String {
    let digest = blake3::hash(id.as_bytes()).to_hex();
    let mut name = format!("sbx{}", &digest.as_str()[..MOST_INTERFACE - 6]);
    name.push('n');
    name
}

/// The name of the sandbox's table in the packet filter.
pub(crate) fn table(id: &str) -> String {
    id.replace('-', "_")
}

/// The whole table, as `nft -f` reads it: replaced as one, so there is no moment without it. `resolved` holds the
/// addresses the host found for each name.
pub(crate) fn wall(id: &str, leaves: &Leaves, resolved: &[(String, Ipv4Addr)]) -> String {
    let table = table(id);
    let inside = format!("\"{}*\"", bridge_prefix(id));
    let mut open = String::new();
    match leaves {
        Leaves::Nothing => {}
        Leaves::Anything => {
            let _ = writeln!(
                open,
                "  iifname {inside} ip daddr {{ {LINK_LOCAL}, {NEIGHBOURS} }} jump refuse"
            );
            let _ = writeln!(open, "  iifname {inside} accept");
        }
        Leaves::Listed(listed) => {
            for one in listed {
                match one {
                    Allowed::Block { first, prefix, port } => {
                        allow(&mut open, &inside, &format!("{first}/{prefix}"), *port);
                    }
                    Allowed::Name { name, port } => {
                        for (_, address) in resolved.iter().filter(|(resolved, _)| resolved == name) {
                            allow(&mut open, &inside, &address.to_string(), *port);
                        }
                    }
                }
            }
        }
    }
    // Where bridged frames pass the packet filter too, one network's own traffic comes by here.
    let bridge = bridge_prefix(id);
    let mut within = String::new();
    for number in 0..MOST_NETWORKS {
        let _ = writeln!(
            within,
            "  iifname \"{bridge}{number}\" oifname \"{bridge}{number}\" accept"
        );
    }
    format!(
        "table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n \
         chain refuse {{\n  meta l4proto tcp reject with tcp reset\n  reject\n }}\n \
         chain input {{\n  type filter hook input priority -10; policy accept;\n  \
         iifname {inside} ct state established,related accept\n  iifname {inside} jump refuse\n }}\n \
         chain forward {{\n  type filter hook forward priority -10; policy accept;\n  \
         iifname {inside} ct state established,related accept\n{within}{open}  iifname {inside} jump refuse\n  \
         oifname {inside} ct state established,related accept\n  oifname {inside} drop\n }}\n}}\n"
    )
}

fn allow(rules: &mut String, inside: &str, to: &str, port: Option<u16>) {
    let _ = match port {
        Some(port) => writeln!(
            rules,
            "  iifname {inside} ip daddr {to} meta l4proto {{ tcp, udp }} th dport {port} accept"
        ),
        None => writeln!(rules, "  iifname {inside} ip daddr {to} accept"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(egress: &[&str]) -> Network {
        Network {
            egress: egress.iter().map(|entry| (*entry).to_owned()).collect(),
            ..Network::default()
        }
    }

    #[test]
    fn blocks_are_aligned_differ_and_lie_in_the_pool() {
        let blocks = proposed_blocks("sbx-01m7y6nbk6e2yr4yvpgtcdjcd8");
        assert_eq!(blocks.len(), PROPOSED as usize);
        for block in &blocks {
            let number = u32::from(*block);
            assert_eq!(number % (1 << (32 - BLOCK_PREFIX)), 0, "{block}");
            assert_eq!(number >> POOL_BITS, POOL >> POOL_BITS, "{block}");
        }
        let mut unique = blocks.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), blocks.len());
        assert_eq!(blocks, proposed_blocks("sbx-01m7y6nbk6e2yr4yvpgtcdjcd8"));
        assert_ne!(blocks, proposed_blocks("sbx-01m7y6nbk6e2yr4yvpgtcdjcd9"));
    }

    #[test]
    fn bridges_fit_an_interface_name() {
        assert!(bridge_prefix("sbx-01m7y6nbk6e2yr4yvpgtcdjcd8").len() + 2 <= MOST_INTERFACE);
    }

    #[test]
    fn what_cannot_be_held_is_refused() {
        for entry in ["*.example.org", "fd00::/8", "not a name"] {
            assert!(leaves(&network(&[entry])).is_err(), "{entry}");
        }
        assert_eq!(leaves(&network(&[])).ok(), Some(Leaves::Nothing));
    }

    #[test]
    fn only_what_is_listed_is_opened() {
        let leaves = leaves(&network(&["pypi.org:443", "203.0.113.0/24"])).expect("reads");
        assert_eq!(leaves.names(), ["pypi.org"]);
        let wall = wall(
            "sbx-1",
            &leaves,
            &[("pypi.org".to_owned(), Ipv4Addr::new(192, 0, 2, 7))],
        );
        let accepts: Vec<&str> = wall
            .lines()
            .map(str::trim)
            .filter(|line| line.ends_with("accept") && line.contains("daddr"))
            .collect();
        assert_eq!(accepts.len(), 2, "{wall}");
        assert!(accepts[0].contains("192.0.2.7 meta l4proto { tcp, udp } th dport 443"));
        assert!(accepts[1].contains("203.0.113.0/24 accept"));
    }
}
