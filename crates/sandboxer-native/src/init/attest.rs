//! What is tried from inside when a sandbox becomes ready: destinations that must not be reachable.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use sandboxer_model::isolation::Attestation;

/// Tries destinations that stand for everything a denied network must not reach.
pub(crate) fn network() -> Vec<Attestation> {
    let v4 = |a, b, c, d, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port);
    let targets = [
        // TEST-NET-3 (RFC 5737) stands for the public internet.
        ("public address", v4(203, 0, 113, 1, 443)),
        ("private range", v4(10, 0, 0, 1, 22)),
        ("cloud metadata", v4(169, 254, 169, 254, 80)),
        // RFC 3849 documentation prefix.
        (
            "public IPv6 address",
            SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 443),
        ),
    ];
    targets
        .iter()
        .map(|(what, target)| unreachable(what, *target))
        .collect()
}

fn unreachable(what: &str, target: SocketAddr) -> Attestation {
    let family = if target.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let outcome = socket_with(family, SocketType::STREAM, flags, None).and_then(|socket| connect(&socket, &target));
    let (observed, held) = match outcome {
        Err(Errno::NETUNREACH) => ("no route".to_owned(), true),
        Err(Errno::AFNOSUPPORT) => ("no such address family".to_owned(), true),
        Err(Errno::ADDRNOTAVAIL) => ("no address to connect from".to_owned(), true),
        Err(Errno::INPROGRESS) => ("a connection is being made".to_owned(), false),
        Err(error) => (std::io::Error::from(error).to_string(), false),
        Ok(()) => ("connected".to_owned(), false),
    };
    Attestation {
        probe: format!("connect to {what} {target}"),
        expected: "no route".to_owned(),
        observed,
        held,
    }
}
