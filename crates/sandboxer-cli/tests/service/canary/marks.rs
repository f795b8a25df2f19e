//! Secrets that tell where they were put.

/// All of them. Each is the same random word with a number behind it.
pub(super) struct Marks {
    prefix: String,
    names: Vec<String>,
}

/// The name of one that lacks its end.
pub(super) const CUT: &str = "cut short";
/// Digits of the number.
const DIGITS: usize = 3;

impl Marks {
    pub(super) fn new() -> Marks {
        let mut rng = fastrand::Rng::new();
        let word: String = (0..14).map(|_| rng.lowercase()).collect();
        Marks {
            prefix: format!("q{word}"),
            names: Vec::new(),
        }
    }

    /// What all of them begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// A new one, for a place.
    pub(super) fn mark(&mut self, name: &str) -> String {
        self.names.push(name.to_owned());
        format!("{}{:0DIGITS$}", self.prefix, self.names.len() - 1)
    }

    /// The name of one that is somewhere in a text.
    pub(super) fn name(&self, text: &str) -> String {
        self.found_in(text.as_bytes()).pop().unwrap_or_default()
    }

    /// The names of those that are in there, once each.
    pub(super) fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        let prefix = self.prefix.as_bytes();
        for (at, _) in bytes
            .windows(prefix.len())
            .enumerate()
            .filter(|(_, window)| *window == prefix)
        {
            let digits = bytes
                .get(at + prefix.len()..at + prefix.len() + DIGITS)
                .unwrap_or_default();
            let number = std::str::from_utf8(digits)
                .ok()
                .and_then(|text| text.parse::<usize>().ok());
            let name = number.and_then(|number| self.names.get(number));
            let name = name.map_or_else(|| CUT.to_owned(), String::clone);
            if !found.contains(&name) {
                found.push(name);
            }
        }
        found
    }
}
