//! Output that is kept up to a cap; the rest is read and dropped, so that no command waits for a reader.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::streams::Source;

/// Bytes that are read at a time.
const CHUNK: usize = 16 * 1024;

/// What was printed so far.
#[derive(Debug)]
pub(crate) struct Gathered {
    bytes: Vec<u8>,
    most: usize,
    dropped: u64,
}

impl Gathered {
    /// Nothing yet, and never more than this many bytes.
    pub(crate) fn new(most: usize) -> Gathered {
        Gathered {
            bytes: Vec::new(),
            most,
            dropped: 0,
        }
    }

    /// Whether something had to be dropped.
    pub(crate) fn is_truncated(&self) -> bool {
        self.dropped > 0
    }

    /// The bytes that were kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As text, and in base 64 where it is none.
    pub(crate) fn told(self) -> (String, Option<String>) {
        match String::from_utf8(self.bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let bytes = error.into_bytes();
                (
                    String::from_utf8_lossy(&bytes).into_owned(),
                    Some(STANDARD.encode(&bytes)),
                )
            }
        }
    }

    /// Reads until the end.
    ///
    /// # Errors
    /// The stream cannot be read.
    pub(crate) async fn fill(&mut self, from: &Source) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            match from.read(&mut chunk).await? {
                0 => return Ok(()),
                count => self.add(chunk.get(..count).unwrap_or_default()),
            }
        }
    }

    /// Reads what is there, and waits for nothing: what a command printed is there once it ended, and what it left running
    /// may hold its streams for ever.
    pub(crate) fn fill_now(&mut self, from: &Source) {
        let mut chunk = vec![0; CHUNK];
        // More than fits into a pipe is what others go on printing.
        for _ in 0..256 {
            match from.read_now(&mut chunk) {
                Ok(Some(count)) if count > 0 => self.add(chunk.get(..count).unwrap_or_default()),
                _ => return,
            }
        }
    }

    fn add(&mut self, chunk: &[u8]) {
        let room = self.most.saturating_sub(self.bytes.len()).min(chunk.len());
        let (kept, dropped) = chunk.split_at(room);
        self.bytes.extend_from_slice(kept);
        self.dropped = self.dropped.saturating_add(dropped.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_fits() {
        let mut gathered = Gathered::new(5);
        gathered.add(b"abc");
        assert!(!gathered.is_truncated());
        gathered.add(b"defg");
        assert!(gathered.is_truncated());
        gathered.add(b"h");
        assert_eq!(gathered.told(), ("abcde".to_owned(), None));
    }

    #[test]
    fn what_is_no_text_is_told_twice() {
        let mut gathered = Gathered::new(5);
        gathered.add(b"a\xff");
        assert_eq!(gathered.told(), ("a\u{fffd}".to_owned(), Some("Yf8=".to_owned())));
    }
}
