//! What the listing program prints. Hostile data: whatever it is, it comes to entries or to an error.

use sandboxer_api::request::{FileEntry, FileKind};
use sandboxer_model::error::{ErrorCode, UserError};

/// Entries of a directory that are shown at most.
pub const MOST_LISTED: usize = 50_000;

/// Reads a listing: parts of names, an empty name, and a line for each of them. Sorted by name.
///
/// # Errors
/// `Busy` when the directory changed while it was looked at, `TooLarge`.
pub fn parse_list(printed: &[u8]) -> Result<Vec<FileEntry>, UserError> {
    let changed =
        || UserError::new(ErrorCode::Busy, "the directory changed while it was being listed").hint("try again");
    let mut entries = Vec::new();
    let mut fields = printed.split(|byte| *byte == 0);
    loop {
        let mut names = Vec::new();
        loop {
            match fields.next() {
                Some(b"") => break,
                Some(name) => names.push(name),
                None => return Err(changed()),
            }
        }
        // Behind the last part there is nothing more.
        if names.is_empty() {
            break;
        }
        let lines = fields
            .next()
            .and_then(|lines| std::str::from_utf8(lines).ok())
            .ok_or_else(changed)?;
        let mut lines = lines.lines();
        for name in names {
            let entry = lines.next().and_then(|line| entry(name, line)).ok_or_else(changed)?;
            if entries.len() >= MOST_LISTED {
                let what = format!("the directory has more than {MOST_LISTED} entries");
                return Err(UserError::new(ErrorCode::TooLarge, what).hint("list a part of it, or look with a command"));
            }
            entries.push(entry);
        }
        if lines.next().is_some() {
            return Err(changed());
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn entry(name: &[u8], line: &str) -> Option<FileEntry> {
    let (mode, size) = line.split_once(' ')?;
    let kind = match u32::from_str_radix(mode, 16).ok()? & 0o170_000 {
        0o100_000 => FileKind::File,
        0o040_000 => FileKind::Directory,
        0o120_000 => FileKind::Link,
        _ => FileKind::Other,
    };
    Some(FileEntry {
        name: String::from_utf8_lossy(name).into_owned(),
        kind,
        size: size.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_to_one_sorted_list() {
        let printed = b"b\nc\0a\0\x0081a4 5\n41ed 4096\n\0l\0\0a1ff 3\n\0";
        let entries = parse_list(printed).unwrap();
        let brief: Vec<_> = entries
            .iter()
            .map(|one| (one.name.as_str(), one.kind, one.size))
            .collect();
        let expected = [
            ("a", FileKind::Directory, 4096),
            ("b\nc", FileKind::File, 5),
            ("l", FileKind::Link, 3),
        ];
        assert_eq!(brief, expected);
        assert_eq!(parse_list(b"").unwrap(), []);
    }

    #[test]
    fn what_does_not_fit_together_is_no_list() {
        for printed in [
            &b"a"[..],
            b"a\0",
            b"a\0\0",
            b"a\0\0\0",
            b"a\0\0nonsense\n\0",
            b"a\0\x0081a4 x\n\0",
            b"a\0\x0081a4 1\n81a4 2\n\0",
            b"a\0b\0\x0081a4 1\n\0",
        ] {
            assert_eq!(parse_list(printed).unwrap_err().code, ErrorCode::Busy, "{printed:?}");
        }
    }
}
