//! A transfer that is under way, and what its end means.

use sandboxer_extension::{ExecSession, Signaller};
use sandboxer_model::error::UserError;

use super::path::WorkspacePath;
use super::program::Program;
use crate::error::user_error;

/// A file, an archive or a listing on its way out of a sandbox.
pub struct Outgoing {
    session: Box<dyn ExecSession>,
    program: Program,
    path: WorkspacePath,
}

impl Outgoing {
    pub(super) fn new(session: Box<dyn ExecSession>, program: Program, path: WorkspacePath) -> Outgoing {
        Outgoing { session, program, path }
    }

    /// Stops it, from any thread, where the backend can.
    pub fn signaller(&self) -> Option<Signaller> {
        self.session.signaller()
    }

    /// Waits for the end; only then it is known whether all was written.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput` for a directory where a file is meant, `TooLarge`, `Forbidden`, `MissingPrerequisite`,
    /// `Unavailable`.
    pub async fn finish(mut self) -> Result<(), UserError> {
        end(&mut *self.session, self.program, &self.path).await
    }
}

/// A file or an archive on its way into a sandbox.
pub struct Incoming {
    session: Box<dyn ExecSession>,
    program: Program,
    path: WorkspacePath,
    seal: String,
}

impl Incoming {
    pub(super) fn new(session: Box<dyn ExecSession>, program: Program, path: WorkspacePath, seal: String) -> Incoming {
        Incoming {
            session,
            program,
            path,
            seal,
        }
    }

    /// What to send behind the last byte, before the descriptor is closed: without it the transfer counts as broken off.
    pub fn seal(&self) -> &[u8] {
        self.seal.as_bytes()
    }

    /// Stops it, from any thread, where the backend can.
    pub fn signaller(&self) -> Option<Signaller> {
        self.session.signaller()
    }

    /// Waits for the end: what was sent is in its place. The descriptor has to be closed before.
    ///
    /// # Errors
    /// `InvalidInput`, `QuotaExceeded` when the disk of the sandbox is full, `Forbidden`, `Unavailable` when the transfer broke
    /// off.
    pub async fn finish(mut self) -> Result<(), UserError> {
        end(&mut *self.session, self.program, &self.path).await
    }
}

async fn end(session: &mut dyn ExecSession, program: Program, path: &WorkspacePath) -> Result<(), UserError> {
    let exit = session.wait().await.map_err(|error| user_error(&error))?;
    program.verdict(path, exit.shell_code())
}
