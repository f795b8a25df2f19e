//! One entry of `network.egress`.

use std::net::IpAddr;

/// A destination a sandbox may reach although its network is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A DNS name, in lower case.
    Name {
        /// The name without the wildcard.
        name: String,
        /// Whether every name below it is meant (`*.name`), not the name itself.
        below: bool,
        /// One TCP or UDP port; every port when `None`.
        port: Option<u16>,
    },
    /// A block of addresses.
    Block {
        /// First address.
        address: IpAddr,
        /// Bits that are fixed.
        prefix: u8,
        /// One TCP or UDP port; every port when `None`.
        port: Option<u16>,
    },
}

/// Reads `name[:port]`, `*.name[:port]`, `CIDR[:port]` or `[IPv6-CIDR]:port`.
///
/// # Errors
/// Why it is not one, as a fragment that follows the entry.
pub fn parse_destination(entry: &str) -> Result<Destination, String> {
    if entry.is_empty() {
        return Err("is empty".to_owned());
    }
    if entry.contains("://") {
        return Err("is a URL; write the name alone, such as `pypi.org` or `pypi.org:443`".to_owned());
    }
    if entry == "*" {
        return Err("would allow everything; set `network.default: allow` if that is meant".to_owned());
    }
    let (host, port) = split_port(entry)?;
    if let Some((address, prefix)) = host.split_once('/') {
        return block(address, prefix, port);
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        return Err(format!("is an address, not a name; write `{address}/{bits}`"));
    }
    name(host, port)
}

fn split_port(entry: &str) -> Result<(&str, Option<u16>), String> {
    if let Some(rest) = entry.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("has `[` without `]`")?;
        return match after.strip_prefix(':') {
            Some(digits) => Ok((host, Some(port_number(digits)?))),
            None if after.is_empty() => Ok((host, None)),
            None => Err("has something other than `:port` after `]`".to_owned()),
        };
    }
    match entry.matches(':').count() {
        0 => Ok((entry, None)),
        1 => {
            let (host, digits) = entry.split_once(':').unwrap_or((entry, ""));
            Ok((host, Some(port_number(digits)?)))
        }
        _ => Ok((entry, None)),
    }
}

fn port_number(digits: &str) -> Result<u16, String> {
    let number = digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse::<u16>().ok())
        .flatten();
    number
        .filter(|port| *port > 0)
        .ok_or_else(|| "has a wrong port; ports are whole numbers from 1 to 65535".to_owned())
}

fn block(address: &str, prefix: &str, port: Option<u16>) -> Result<Destination, String> {
    let address: IpAddr = address
        .parse()
        .map_err(|_| "has no valid address before the `/`".to_owned())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let digits = prefix
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| prefix.parse::<u8>().ok())
        .flatten();
    let prefix = digits
        .filter(|n| *n <= bits)
        .ok_or_else(|| format!("has a wrong prefix length; it is from 1 to {bits}"))?;
    if prefix == 0 {
        return Err("would allow every address; set `network.default: allow` if that is meant".to_owned());
    }
    let first = match address {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) & (u32::MAX << (32 - prefix))).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (u128::MAX << (128 - prefix))).into()),
    };
    if first != address {
        return Err(format!(
            "names one address and a block; write `{first}/{prefix}` or `{address}/{bits}`"
        ));
    }
    Ok(Destination::Block { address, prefix, port })
}

fn name(host: &str, port: Option<u16>) -> Result<Destination, String> {
    let (below, bare) = match host.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, host),
    };
    if !bare.is_ascii() {
        return Err("is not ASCII; write the name in its `xn--` form".to_owned());
    }
    if bare.contains('*') {
        return Err("has a `*` that is not the whole first label, as in `*.example.org`".to_owned());
    }
    let labels: Vec<&str> = bare.split('.').collect();
    let good = |label: &&str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if bare.len() > 253 || !labels.iter().all(good) {
        return Err("is neither a DNS name nor an address block such as 10.0.0.0/8".to_owned());
    }
    if labels.len() < 2 {
        return Err("has only one label; write a whole name such as `pypi.org`".to_owned());
    }
    // Resolvers read a numeric last label as an address in disguise (`127.1`, `0x7f.1`).
    if labels
        .last()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x"))
    {
        return Err("ends in a number, as addresses do; write an address as a block such as 127.0.0.1/32".to_owned());
    }
    Ok(Destination::Name {
        name: bare.to_ascii_lowercase(),
        below,
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_blocks() {
        let name = |name: &str, below, port| Destination::Name {
            name: name.into(),
            below,
            port,
        };
        let block = |address: &str, prefix, port| Destination::Block {
            address: address.parse().unwrap(),
            prefix,
            port,
        };
        for (entry, meant) in [
            ("pypi.org", name("pypi.org", false, None)),
            ("PyPI.org:443", name("pypi.org", false, Some(443))),
            ("*.pythonhosted.org:443", name("pythonhosted.org", true, Some(443))),
            ("10.0.0.0/8", block("10.0.0.0", 8, None)),
            ("1.1.1.1/32:53", block("1.1.1.1", 32, Some(53))),
            ("2001:db8::/32", block("2001:db8::", 32, None)),
            ("[2001:db8::/32]:443", block("2001:db8::", 32, Some(443))),
        ] {
            assert_eq!(parse_destination(entry), Ok(meant), "{entry}");
        }
    }

    #[test]
    fn refuses_what_would_allow_more_than_it_says() {
        for entry in [
            "",
            "*",
            "*.com",
            "com",
            "localhost",
            "1.2.3.4",
            "1.2.3.4:80",
            "::1",
            "[::1]:80",
            "127.1",
            "0x7f.0x1",
            "0.0.0.0/0",
            "::/0",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "pypi.org:0",
            "pypi.org:65536",
            "pypi.org:",
            "pypi.org:+1",
            "https://pypi.org",
            "pypi.org/simple",
            "a..b",
            "-a.org",
            "a b.org",
            "a.*.org",
            "пример.рф",
            "a.org.",
            "[10.0.0.0/8",
            "[10.0.0.0/8]x",
            "a.org:80:90",
        ] {
            assert!(parse_destination(entry).is_err(), "{entry}");
        }
    }
}
