//! What the operator lets through beside the public internet.

use std::net::IpAddr;

use crate::place::Place;

/// Places the operator vouches for: named ones, and blocks of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allow {
    places: Vec<(String, u16)>,
    blocks: Vec<(IpAddr, u32)>,
}

/// An entry of the list that is neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowError(pub String);

impl std::fmt::Display for AllowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}` is neither `host:port` nor a block of addresses such as 10.0.0.0/8",
            self.0
        )
    }
}

impl std::error::Error for AllowError {}

impl Allow {
    /// Reads `host:port` and blocks (`10.0.0.0/8`, `fd00::/8`, a single address), separated by commas.
    ///
    /// # Errors
    /// The entry that is neither.
    pub fn parse(text: &str) -> Result<Allow, AllowError> {
        let mut allow = Allow::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let wrong = || AllowError(entry.to_owned());
            if let Some(block) = block(entry) {
                allow.blocks.push(block);
                continue;
            }
            let (host, port) = entry.rsplit_once(':').ok_or_else(wrong)?;
            let port: u16 = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
            // Read as the address of a request is, so that both are the same text.
            let place = Place::parse(&format!("https://{host}:{port}/")).map_err(|_| wrong())?;
            allow.places.push((place.host, port));
        }
        Ok(allow)
    }

    /// Whether this place is named.
    pub(crate) fn names(&self, place: &Place) -> bool {
        self.places
            .iter()
            .any(|(host, port)| *host == place.host && *port == place.port)
    }

    /// Whether there are blocks at all.
    pub(crate) fn has_blocks(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Whether this address is in a block.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.blocks.iter().any(|(block, length)| match (block, address) {
            (IpAddr::V4(block), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                address.to_bits() & mask == block.to_bits() & mask
            }
            (IpAddr::V6(block), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
                address.to_bits() & mask == block.to_bits() & mask
            }
            _ => false,
        })
    }
}

/// A block of addresses, or a single one.
fn block(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(most);
    (length <= most).then_some((address, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_blocks_are_told_apart() {
        let allow =
            Allow::parse("127.0.0.1:8080, Box.lan:443 ,10.0.0.0/8,fd00::/8,[::1]:9,192.168.7.7,0.0.0.0/0").unwrap();
        assert_eq!(
            allow.places,
            [
                ("127.0.0.1".to_owned(), 8080),
                ("box.lan".to_owned(), 443),
                ("::1".to_owned(), 9)
            ]
        );
        assert_eq!(allow.blocks.len(), 4);
        for wrong in [
            "x",
            "x:0",
            "x:99999",
            "10.0.0.0/33",
            "fd00::/129",
            "http://x:1",
            "a b:1",
            "*",
            "*:443",
            ":80",
        ] {
            assert!(Allow::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Allow::parse("").unwrap(), Allow::default());
    }

    #[test]
    fn blocks_hold_what_they_say() {
        let allow = Allow::parse("10.1.0.0/16,fd00::/8,192.168.7.7").unwrap();
        for (address, held) in [
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("::ffff:10.1.2.3", true),
            ("fdff::1", true),
            ("fc00::1", false),
            ("192.168.7.7", true),
            ("192.168.7.8", false),
        ] {
            assert_eq!(allow.holds(address.parse().unwrap()), held, "{address}");
        }
        assert!(Allow::parse("0.0.0.0/0").unwrap().holds("1.2.3.4".parse().unwrap()));
        assert!(Allow::parse("::/0").unwrap().holds("1::".parse().unwrap()));
    }
}
