//! Reaching out.

use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::super::outcome::{Outcome, all, check, refused, refused_io};
use super::super::raw::call;
use super::Args;

/// What comes of the first packet to an address.
pub(crate) fn knock(address: &str) -> Result<(), i32> {
    let target: SocketAddr = address.parse().map_err(|_| libc::EINVAL)?;
    let family = if target.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(family, SocketType::STREAM, flags, None)
        .and_then(|socket| connect(&socket, &target))
        .map_err(Errno::raw_os_error)
}

const NO_ROUTE: &[i32] = &[libc::ENETUNREACH];

/// Addresses that stand for all outside.
pub(crate) fn unreachable(args: &Args) -> Outcome {
    all(args
        .text("targets")
        .split(',')
        .map(|target| refused(&format!("connect {target}"), knock(target), NO_ROUTE)))
}

/// A service on the host's loopback interface.
pub(crate) fn loopback(args: &Args) -> Outcome {
    all(args.text("targets").split(',').map(|target| {
        let result = target
            .parse::<SocketAddr>()
            .map_err(io::Error::other)
            .and_then(|target| std::net::TcpStream::connect_timeout(&target, std::time::Duration::from_secs(5)));
        refused_io(
            &format!("connect {target}"),
            result,
            &[libc::ECONNREFUSED, libc::EADDRNOTAVAIL],
        )
    }))
}

/// Interfaces: only a loopback of its own.
pub(crate) fn interfaces(_: &Args) -> Outcome {
    let text = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let names: Vec<&str> = text
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim())
        .collect();
    check(names == ["lo"], format!("interfaces {names:?}"))
}

/// An abstract unix socket, which no file guards.
pub(crate) fn abstract_socket(args: &Args) -> Outcome {
    let name = args.text("name");
    let result = UnixAddr::from_abstract_name(name).and_then(|address| UnixStream::connect_addr(&address));
    refused_io(&format!("connect @{name}"), result, &[libc::ECONNREFUSED, libc::EPERM])
}

/// Unix sockets by path.
pub(crate) fn path_sockets(args: &Args) -> Outcome {
    all(args.text("paths").split(',').map(|path| {
        refused_io(
            &format!("connect {path}"),
            UnixStream::connect(path),
            &[libc::ENOENT, libc::ECONNREFUSED, libc::EACCES],
        )
    }))
}

fn sockets(list: &[(&str, i32, i32, i32)]) -> Outcome {
    let number = |value: i32| value.cast_unsigned() as usize;
    all(list.iter().map(|(name, family, kind, protocol)| {
        let result = call(libc::SYS_socket, &[number(*family), number(*kind), number(*protocol)]);
        refused(&format!("{name} socket"), result, &[libc::EPERM])
    }))
}

/// Packets of one's own making.
pub(crate) fn raw_sockets(_: &Args) -> Outcome {
    sockets(&[
        ("raw IPv4", libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
        ("raw IPv6", libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6),
    ])
}

/// Frames of one's own making.
pub(crate) fn packet_sockets(_: &Args) -> Outcome {
    sockets(&[
        ("packet", libc::AF_PACKET, libc::SOCK_RAW, 0),
        ("cooked packet", libc::AF_PACKET, libc::SOCK_DGRAM, 0),
    ])
}

/// Families that reach past the network namespace, or into rarely trodden parts of the kernel.
pub(crate) fn exotic_sockets(_: &Args) -> Outcome {
    sockets(&[
        ("vsock", libc::AF_VSOCK, libc::SOCK_STREAM, 0),
        ("crypto", libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
        ("bluetooth", libc::AF_BLUETOOTH, libc::SOCK_RAW, 1),
        ("can", libc::AF_CAN, libc::SOCK_RAW, 1),
        ("tipc", libc::AF_TIPC, libc::SOCK_SEQPACKET, 0),
        ("rds", libc::AF_RDS, libc::SOCK_SEQPACKET, 0),
        ("ipsec key", libc::AF_KEY, libc::SOCK_RAW, 2),
        ("xdp", libc::AF_XDP, libc::SOCK_RAW, 0),
    ])
}

/// Netlink beyond routes.
pub(crate) fn netlink(_: &Args) -> Outcome {
    sockets(&[
        ("audit", libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_AUDIT),
        ("netfilter", libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER),
        (
            "device event",
            libc::AF_NETLINK,
            libc::SOCK_RAW,
            libc::NETLINK_KOBJECT_UEVENT,
        ),
        (
            "generic netlink",
            libc::AF_NETLINK,
            libc::SOCK_RAW,
            libc::NETLINK_GENERIC,
        ),
    ])
}
