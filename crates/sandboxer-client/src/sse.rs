//! The lines of an event stream, as `text/event-stream` has them.

/// More than any event has; what is longer is none of ours.
const MOST_BYTES: usize = 4 << 20;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Frame {
    /// Where the stream can be taken up again.
    pub(crate) id: Option<String>,
    /// Its data, lines joined.
    pub(crate) data: String,
}

/// Puts frames together from bytes as they come.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    rest: Vec<u8>,
    now: Frame,
    has_data: bool,
}

impl Frames {
    /// Takes bytes, and returns the frames that they complete.
    ///
    /// # Errors
    /// A line or an event is longer than any of ours.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, &'static str> {
        self.rest.extend_from_slice(bytes);
        let mut frames = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(frame) = self.line(line.trim_end_matches(['\n', '\r'])) {
                frames.push(frame);
            }
        }
        if self.rest.len() + self.now.data.len() > MOST_BYTES {
            return Err("an event is too long");
        }
        Ok(frames)
    }

    fn line(&mut self, line: &str) -> Option<Frame> {
        if line.is_empty() {
            let whole = std::mem::take(&mut self.now);
            return std::mem::take(&mut self.has_data).then_some(whole);
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.now.id = Some(value.to_owned()),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.now.data.push('\n');
                }
                self.now.data.push_str(value);
            }
            // The kind is in the data, too; a comment is a sign of life.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_however_they_are_cut() {
        let text =
            b": alive\n\nid: 7\nevent: state.ready\ndata: {\"a\":\ndata: 1}\n\nid: 8\r\ndata:x\r\n\r\ndata: open";
        let wanted = [("7", "{\"a\":\n1}"), ("8", "x")];
        for size in [1, 3, 1000] {
            let mut frames = Frames::default();
            let got: Vec<Frame> = text
                .chunks(size)
                .flat_map(|chunk| frames.take(chunk).unwrap())
                .collect();
            let got: Vec<_> = got
                .iter()
                .map(|frame| (frame.id.as_deref().unwrap(), frame.data.as_str()))
                .collect();
            assert_eq!(got, wanted, "{size}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let mut frames = Frames::default();
        let chunk = vec![b'x'; 1 << 20];
        assert!((0..8).any(|_| frames.take(&chunk).is_err()));
    }
}
