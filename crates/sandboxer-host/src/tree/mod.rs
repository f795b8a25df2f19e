//! The tree of a repository as it travels to a machine: what the ignore files leave in, nothing from outside, byte for byte
//! the same archive for the same tree.

mod archive;
mod links;
mod rules;
mod scan;
mod walk;

pub use scan::{Limits, Tree};

/// Why a tree is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Something could not be read.
    #[error("cannot read {path}: {why}")]
    Unreadable {
        /// What.
        path: String,
        /// Why.
        why: String,
    },
    /// A file of rules, such as `.gitignore`, is none that rules are read from.
    #[error("{path} holds no rules that could be read: {why}")]
    Rules {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// A link leads out of the tree.
    #[error("{path} is a link to {target}, outside of the tree")]
    LeadsOut {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// More than is ever sent.
    #[error("the tree has {what}: more than {most}")]
    TooLarge {
        /// What there is too much of.
        what: String,
        /// The most.
        most: String,
    },
    /// It changed while it was being read.
    #[error("{path} changed while it was being read")]
    Changed {
        /// What.
        path: String,
    },
    /// The other side stopped listening.
    #[error("the tree could not be sent: {0}")]
    Unsent(String),
}

impl From<TreeError> for sandboxer_extension::ExtensionError {
    fn from(error: TreeError) -> Self {
        use sandboxer_extension::{ErrorKind, ExtensionError};
        let (kind, hint) = match &error {
            TreeError::LeadsOut { .. } => (
                ErrorKind::Invalid,
                Some("make it relative and inside, or list it in .sandboxerignore"),
            ),
            TreeError::TooLarge { .. } => (ErrorKind::Invalid, Some("list what is not needed in .sandboxerignore")),
            TreeError::Rules { .. } => (
                ErrorKind::Invalid,
                Some("make it a regular file of at most 1 MiB, or remove it"),
            ),
            TreeError::Unreadable { .. } => (ErrorKind::Invalid, None),
            TreeError::Changed { .. } | TreeError::Unsent(_) => (ErrorKind::Unavailable, None),
        };
        let told = ExtensionError::new(kind, error.to_string());
        match hint {
            Some(hint) => told.hint(hint),
            None => told,
        }
    }
}
