//! Why an archive is not taken.

use std::io;

use sandboxer_model::error::{ErrorCode, UserError};

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// An entry is not one that is taken.
    #[error("the entry `{path}` {why}")]
    Entry {
        /// Which.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is no archive, or not a whole one.
    #[error("{0}")]
    Archive(&'static str),
    /// There is more in it than may be.
    #[error("it has more than {0}")]
    TooMuch(&'static str),
    /// It stopped coming.
    #[error("it broke off: {0}")]
    BrokenOff(io::Error),
    /// It cannot be written here.
    #[error("it cannot be kept: {0}")]
    Unwritten(io::Error),
}

impl Refusal {
    /// What is wrong with an entry.
    pub(crate) fn entry(path: &[u8], why: &'static str) -> Refusal {
        let shown = String::from_utf8_lossy(path);
        let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        Refusal::Entry {
            path: shown.chars().map(plain).take(200).collect(),
            why,
        }
    }
}

impl From<Refusal> for UserError {
    fn from(refusal: Refusal) -> UserError {
        let code = match &refusal {
            Refusal::Entry { .. } | Refusal::Archive(_) => ErrorCode::InvalidInput,
            Refusal::TooMuch(_) => ErrorCode::TooLarge,
            Refusal::BrokenOff(_) => ErrorCode::Usage,
            Refusal::Unwritten(_) => ErrorCode::Unavailable,
        };
        let error = UserError::new(code, format!("the archive is not taken: {refusal}"));
        match refusal {
            Refusal::Entry { .. } => {
                error.hint("leave it out of the archive, or make it a file, a directory or a link inside")
            }
            Refusal::Archive(_) => {
                error.hint("send a whole tar archive without compression, such as `tar -c -C DIR .` makes")
            }
            Refusal::TooMuch(_) => error.hint("leave out what the sandbox does not need, such as what builds make"),
            Refusal::BrokenOff(_) => error.hint("send it again"),
            Refusal::Unwritten(_) => error.hint("try again later; the server's disk may be full"),
        }
    }
}
