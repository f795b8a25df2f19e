//! Records that say more about the next entry. What a reader would have to choose between is refused: readers that choose
//! differently see different trees.

use super::refusal::Refusal;

/// What records say about an entry.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

/// Reads the records of a PAX header.
pub(super) fn read(mut rest: &[u8]) -> Result<Records, Refusal> {
    let malformed = || Refusal::Archive("it has PAX records that cannot be read");
    let mut records = Records::default();
    while !rest.is_empty() {
        // `27 path=the whole record\n`: its length counts itself.
        let space = rest
            .iter()
            .take(20)
            .position(|byte| *byte == b' ')
            .ok_or_else(malformed)?;
        let length = rest.get(..space).and_then(|digits| std::str::from_utf8(digits).ok());
        let length: usize = length.and_then(|digits| digits.parse().ok()).ok_or_else(malformed)?;
        let record = rest.get(space + 1..length).ok_or_else(malformed)?;
        rest = rest.get(length..).ok_or_else(malformed)?;
        let (&end, record) = record.split_last().ok_or_else(malformed)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        if end != b'\n' {
            return Err(malformed());
        }
        match key {
            b"path" => once(&mut records.path, value.to_vec())?,
            b"linkpath" => once(&mut records.link, value.to_vec())?,
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                once(&mut records.size, size.ok_or_else(malformed)?)?;
            }
            key if key.starts_with(b"GNU.sparse.") => {
                return Err(Refusal::Archive("it has sparse files"));
            }
            _ => {}
        }
    }
    Ok(records)
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::Archive("it says the same thing about an entry twice")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_lengths() {
        let records = read(b"12 path=a\nb\n20 linkpath=somewhere\n").unwrap_err();
        assert!(matches!(records, Refusal::Archive(_)));
        let records = read(b"12 path=a\nb\n22 linkpath=somewhere\n9 size=5\n").unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(records.link.as_deref(), Some(&b"somewhere"[..]));
        assert_eq!(records.size, Some(5));
    }

    #[test]
    fn what_is_malformed_or_said_twice_is_refused() {
        for bad in [
            &b"x"[..],
            b"9999999999 path=a\n",
            b"3 a\n",
            b"0 path=a\n",
            b"10 path=a\n9 size=x\n",
            b"10 path=a\n10 path=b\n",
            b"9 size=1\n9 size=1\n",
            b"22 GNU.sparse.major=1\n",
            b"10 path=ab",
            b"18446744073709551615 path=a\n",
        ] {
            assert!(read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
