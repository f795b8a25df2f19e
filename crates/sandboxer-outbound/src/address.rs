//! Which addresses belong to the public internet. After the special-purpose registries of IANA for IPv4 and IPv6; what is
//! neither unicast nor global in both is refused, and so is all that could lead to such an address by translation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Blocks of IPv4 that are not global, as address and prefix length.
const V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared by carriers; some clouds serve metadata there
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local, and the metadata service of clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // relays of 6to4, withdrawn
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 3),     // multicast, reserved, broadcast
];

/// Blocks within 2000::/3, the global unicast addresses of IPv6, that are not global.
const V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: leads to any IPv4 address
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Whether an address belongs to the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !V4.iter().any(|(block, length)| {
        let mask = u32::MAX << (32 - length);
        address.to_bits() & mask == block.to_bits()
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // IPv4 in other words, and the prefix by which a network without IPv4 reaches it.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        [first, ..] if first & 0xe000 != 0x2000 => false,
        _ => !V6.iter().any(|(block, length)| {
            let mask = u128::MAX << (128 - length);
            address.to_bits() & mask == block.to_bits()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Block after block: its first and last address are refused, and so is one inside; those around it have the answer
    /// that is written.
    #[test]
    fn every_block_of_ipv4_is_refused_up_to_its_edges() {
        let blocks = [
            ("0.0.0.0", "0.255.255.255", None, Some(("1.0.0.0", true))),
            (
                "10.0.0.0",
                "10.255.255.255",
                Some(("9.255.255.255", true)),
                Some(("11.0.0.0", true)),
            ),
            (
                "100.64.0.0",
                "100.127.255.255",
                Some(("100.63.255.255", true)),
                Some(("100.128.0.0", true)),
            ),
            (
                "127.0.0.0",
                "127.255.255.255",
                Some(("126.255.255.255", true)),
                Some(("128.0.0.0", true)),
            ),
            (
                "169.254.0.0",
                "169.254.255.255",
                Some(("169.253.255.255", true)),
                Some(("169.255.0.0", true)),
            ),
            (
                "172.16.0.0",
                "172.31.255.255",
                Some(("172.15.255.255", true)),
                Some(("172.32.0.0", true)),
            ),
            (
                "192.0.0.0",
                "192.0.0.255",
                Some(("191.255.255.255", true)),
                Some(("192.0.1.0", true)),
            ),
            (
                "192.0.2.0",
                "192.0.2.255",
                Some(("192.0.1.255", true)),
                Some(("192.0.3.0", true)),
            ),
            (
                "192.88.99.0",
                "192.88.99.255",
                Some(("192.88.98.255", true)),
                Some(("192.88.100.0", true)),
            ),
            (
                "192.168.0.0",
                "192.168.255.255",
                Some(("192.167.255.255", true)),
                Some(("192.169.0.0", true)),
            ),
            (
                "198.18.0.0",
                "198.19.255.255",
                Some(("198.17.255.255", true)),
                Some(("198.20.0.0", true)),
            ),
            (
                "198.51.100.0",
                "198.51.100.255",
                Some(("198.51.99.255", true)),
                Some(("198.51.101.0", true)),
            ),
            (
                "203.0.113.0",
                "203.0.113.255",
                Some(("203.0.112.255", true)),
                Some(("203.0.114.0", true)),
            ),
            ("224.0.0.0", "255.255.255.255", Some(("223.255.255.255", true)), None),
        ];
        assert_eq!(blocks.len(), V4.len());
        let v4 = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        for (first, last, before, after) in blocks {
            let middle = Ipv4Addr::from_bits(v4(first).to_bits() + (v4(last).to_bits() - v4(first).to_bits()) / 2);
            for inside in [v4(first), middle, v4(last)] {
                let [a, b, c, d] = inside.octets();
                let (high, low) = (u16::from(a) << 8 | u16::from(b), u16::from(c) << 8 | u16::from(d));
                let in_v6 = [
                    inside.to_ipv6_mapped(),
                    Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low), // IPv4-compatible
                    Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low), // IPv4-translated
                    Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low), // NAT64
                    Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low), // NAT64 of the local network
                    Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1), // 6to4
                    Ipv6Addr::new(0x2001, 0, high, low, 0, 0, !high, !low), // Teredo
                ];
                assert!(!is_public(IpAddr::V4(inside)), "{inside}");
                for address in in_v6 {
                    assert!(!is_public(IpAddr::V6(address)), "{inside} as {address}");
                }
            }
            for (outside, answer) in before.into_iter().chain(after) {
                assert_eq!(is_public(v4(outside).into()), answer, "{outside}");
                assert_eq!(
                    is_public(v4(outside).to_ipv6_mapped().into()),
                    answer,
                    "mapped {outside}"
                );
            }
        }
    }

    #[test]
    fn well_known_addresses() {
        let table = [
            ("1.1.1.1", true),
            ("8.8.8.8", true),
            ("93.184.216.34", true),
            ("169.254.169.254", false), // metadata of clouds
            ("169.254.170.2", false),
            ("100.100.100.200", false),
            ("168.63.129.16", true), // public by number; what answers there is the operator's host
            ("192.0.0.192", false),
            ("255.255.255.255", false),
            ("2606:4700:4700::1111", true),
            ("2a00:1450:4001:82a::200e", true),
            ("2001:200::1", true), // the first block after the protocol assignments
            ("2001:1ff:ffff::1", false),
            ("2001:2::1", false),
            ("2001:20::1", false),
            ("2001:db8::1", false),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", false),
            ("2001:db7:ffff::1", true),
            ("2001:db9::1", true),
            ("2002:808:808::1", false),
            ("2003::1", true),
            ("3ffe::1", true),
            ("3fff::1", false),
            ("3fff:fff:ffff::1", false),
            ("3fff:1000::1", true),
            ("::", false),
            ("::1", false),
            ("::ffff:8.8.8.8", true),
            ("::ffff:127.0.0.1", false),
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b::10.0.0.1", false),
            ("64:ff9b:1::8.8.8.8", false),
            ("100::1", false), // discard
            ("100:0:0:1::1", false),
            ("1fff::1", false),
            ("4000::1", false),
            ("5f00::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false), // metadata of clouds
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ];
        for (text, answer) in table {
            assert_eq!(is_public(text.parse().unwrap()), answer, "{text}");
        }
    }
}
