//! What can go wrong with the store, and how users hear of it.

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::State;

use crate::damage::Damage;

/// What can go wrong with the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The directory or file cannot be used.
    #[error("cannot use the database {path}: {why}")]
    Unavailable {
        /// Which file.
        path: String,
        /// Why.
        why: String,
    },
    /// There is no room for what was to be written; nothing of it was.
    #[error("cannot write to the database {path}: the disk is full")]
    Full {
        /// Which file.
        path: String,
    },
    /// The disk failed; what was being written may be there or not.
    #[error("cannot read or write the database {path}: {why}")]
    Failed {
        /// Which file.
        path: String,
        /// Why.
        why: String,
    },
    /// Other processes held the database for longer than anybody should wait.
    #[error("the database {path} stayed locked by other processes for {seconds} s")]
    Locked {
        /// Which file.
        path: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The file is damaged.
    #[error("the database {path} is damaged: {why}")]
    Corrupt {
        /// Which file.
        path: String,
        /// What was found.
        why: String,
    },
    /// One row cannot be understood; the rest of the file can.
    #[error("the database {path} is damaged at {damage}")]
    Damaged {
        /// Which file.
        path: String,
        /// Which row.
        damage: Damage,
    },
    /// The file was written by another program or a newer release.
    #[error("the database {path} is not one this release can use: {why}")]
    Foreign {
        /// Which file.
        path: String,
        /// Whose it is.
        why: String,
        /// Whether a newer release of ours wrote it.
        newer: bool,
    },
    /// A newer owner took over; nothing was written.
    #[error("another process took over {0}")]
    Fenced(SandboxId),
    /// The row changed since it was read, without a change of owner; nothing was written. Read it again.
    #[error("{0} was changed meanwhile")]
    Stale(SandboxId),
    /// A live sandbox has this scope already; nothing was written.
    #[error("a live sandbox has the scope `{0}` already")]
    ScopeTaken(String),
    /// Another sandbox was made with this idempotency key; nothing was written.
    #[error("a sandbox was made with this idempotency key already")]
    KeyTaken,
    /// The host has no room for it, or takes nothing new; nothing was written.
    #[error("no room on `{host}`: {why}")]
    NoRoom {
        /// Which host.
        host: String,
        /// What there is not enough of.
        why: String,
    },
    /// The project has as many live sandboxes as it may; nothing was written.
    #[error("project `{project}` has {live} live sandboxes, and may have {most}")]
    QuotaExceeded {
        /// Which project.
        project: String,
        /// How many it has.
        live: u64,
        /// How many it may have.
        most: u32,
    },
    /// A host of this name is registered already.
    #[error("a host called `{0}` is registered already")]
    HostTaken(String),
    /// Sandboxes hold something of the host.
    #[error("{sandboxes} sandboxes are on `{name}`")]
    HostInUse {
        /// Which host.
        name: String,
        /// How many.
        sandboxes: u64,
    },
    /// The state may not follow the one before; nothing was written. A bug of the caller.
    #[error("{sandbox_id} may not go from {from} to {to}")]
    IllegalMove {
        /// Which sandbox.
        sandbox_id: SandboxId,
        /// Its state.
        from: State,
        /// What it was to become.
        to: State,
    },
    /// There is no such record.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// `sandbox`, `operation`, `host`, `sink`, `key`.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// A prefix that is too short to mean anything.
    #[error("`{0}` is too short for a sandbox id")]
    TooShort(String),
    /// A prefix fits several ids.
    #[error("`{prefix}` fits several sandboxes: {}", list(.matches))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// The first matches, at most five.
        matches: Vec<SandboxId>,
    },
}

fn list(ids: &[SandboxId]) -> String {
    ids.iter().map(SandboxId::as_str).collect::<Vec<_>>().join(", ")
}

impl From<StoreError> for UserError {
    fn from(error: StoreError) -> UserError {
        let message = error.to_string();
        match error {
            StoreError::Unavailable { .. } => UserError::new(ErrorCode::StoreUnavailable, message)
                .hint("choose a directory you can write to with --data-dir or SANDBOXER_DATA_DIR"),
            StoreError::Full { .. } => UserError::new(ErrorCode::StoreUnavailable, message)
                .hint("make room there and run any command: it finishes or undoes what was begun"),
            StoreError::Failed { .. } => UserError::new(ErrorCode::StoreUnavailable, message).hint(
                "see what the kernel says of the disk with `dmesg`; once it works again, any command finishes or undoes \
                 what was begun",
            ),
            StoreError::Locked { .. } => UserError::new(ErrorCode::StoreUnavailable, message)
                .hint("try again; if it stays locked, look for a stopped sandboxer process"),
            StoreError::Corrupt { path, .. } => UserError::new(ErrorCode::StoreCorrupt, message).hint(format!(
                "restore it from a backup, or move it away to start afresh: mv {path} {path}.damaged (sandboxes it knew \
                 end at their deadlines)"
            )),
            StoreError::Damaged { .. } => UserError::new(ErrorCode::StoreCorrupt, message).hint(
                "restore the file from a backup; other sandboxes are not concerned, and `sandboxer doctor` lists every \
                 damaged row",
            ),
            StoreError::Foreign { newer: true, .. } => UserError::new(ErrorCode::StoreForeign, message)
                .hint("use the newer release, or another directory with --data-dir"),
            StoreError::Foreign { newer: false, .. } => UserError::new(ErrorCode::StoreForeign, message)
                .hint("choose another directory with --data-dir, or move that file away"),
            StoreError::Fenced(_) => UserError::new(ErrorCode::Fenced, message)
                .hint("see what became of it with `sandboxer get`"),
            StoreError::Stale(_) | StoreError::ScopeTaken(_) | StoreError::KeyTaken => {
                UserError::new(ErrorCode::Busy, message).hint("try again")
            }
            StoreError::NoRoom { host, .. } => UserError::new(ErrorCode::Unavailable, message).hint(format!(
                "see what is there with `sandboxer hosts show {host}`, or name another host with --host"
            )),
            StoreError::QuotaExceeded { project, .. } => UserError::new(ErrorCode::QuotaExceeded, message).hint(format!(
                "destroy one that is not needed any more, or have an administrator raise `max_live` of `{project}`"
            )),
            StoreError::HostTaken(name) => UserError::new(ErrorCode::WrongState, message).hint(format!(
                "see it with `sandboxer hosts show {name}`, or remove it first with `sandboxer hosts remove {name}`"
            )),
            StoreError::HostInUse { name, .. } => UserError::new(ErrorCode::WrongState, message).hint(format!(
                "let nothing new on it with `sandboxer hosts drain {name}`, and destroy what is there"
            )),
            StoreError::IllegalMove { .. } => UserError::new(ErrorCode::Internal, message),
            StoreError::NotFound { what: "host", .. } => {
                UserError::new(ErrorCode::NotFound, message).hint("see what is registered with `sandboxer hosts list`")
            }
            StoreError::NotFound { what: "sink", .. } => {
                UserError::new(ErrorCode::NotFound, message).hint("see what there is with `sandboxer events sinks`")
            }
            StoreError::NotFound { what: "key", .. } => {
                UserError::new(ErrorCode::NotFound, message).hint("see what keys there are with `sandboxer keys list`")
            }
            StoreError::NotFound { .. } => {
                UserError::new(ErrorCode::NotFound, message).hint("see what exists with `sandboxer list --all`")
            }
            StoreError::TooShort(_) => UserError::new(ErrorCode::NotFound, message)
                .hint("give at least three characters after `sbx-`; `sandboxer list` shows the ids"),
            StoreError::Ambiguous { .. } => {
                UserError::new(ErrorCode::Ambiguous, message).hint("give more characters of the id")
            }
        }
    }
}
