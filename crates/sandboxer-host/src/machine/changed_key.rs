//! A host that shows another key than the one that was vouched for: which two they are (OpenSSH 9: `sshconnect.c`).

use std::io::{BufRead as _, BufReader, Read as _};

use super::fingerprint;

/// A line of a file of known hosts is much shorter.
const MOST_BYTES: u64 = 64 << 20;

/// The two keys, and where the first is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChangedKey {
    /// What was vouched for: `SHA256:… (ED25519)`, or that it cannot be read any more.
    pub(super) pinned: String,
    /// What it shows: `SHA256:…`.
    pub(super) shown: String,
    /// The file of the first.
    pub(super) file: String,
    /// Its line there, from 1.
    pub(super) line: usize,
}

/// Reads what `ssh` says of them.
pub(super) fn read<'a>(said: impl Iterator<Item = &'a str> + Clone) -> Option<ChangedKey> {
    let mut lines = said.clone();
    lines.find(|line| line.ends_with("key sent by the remote host is"))?;
    let shown = lines.next()?.trim().trim_end_matches('.').to_owned();
    let place = said
        .filter_map(|line| line.strip_prefix("Offending ")?.split_once(" key in "))
        .map(|(_, place)| place.trim())
        .next()?;
    let (file, line) = place.rsplit_once(':')?;
    let line: usize = line.parse().ok()?;
    let pinned = entry(file, line).and_then(|entry| fingerprint::of_line(&entry));
    Some(ChangedKey {
        pinned: pinned.unwrap_or_else(|| "one that cannot be read".to_owned()),
        shown,
        file: file.to_owned(),
        line,
    })
}

fn entry(file: &str, line: usize) -> Option<String> {
    let file = std::fs::File::open(file).ok().filter(|file| {
        // A pipe would hold us up.
        file.metadata().is_ok_and(|meta| meta.is_file())
    })?;
    let mut lines = BufReader::new(file.take(MOST_BYTES)).split(b'\n');
    let bytes = lines.nth(line.checked_sub(1)?)?.ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
