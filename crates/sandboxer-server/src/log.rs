//! What the server says about itself, line by line.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What happened.
    Info,
    /// What somebody should look at.
    Warn,
    /// What is broken.
    Error,
}

impl Level {
    /// The name used in lines.
    pub fn name(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// Where lines go. Must not block for long. Never given a secret: no token, no query, no body.
pub trait Log: Send + Sync {
    /// One line: what happened, and its facts.
    fn line(&self, level: Level, what: &str, fields: &[(&str, &str)]);
}
