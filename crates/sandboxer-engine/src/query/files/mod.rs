//! Files of a workspace. Processes inside the sandbox do the work, so a link inside leads to what it leads to inside, and
//! never to a file of the machine underneath.
//!
//! | file | does |
//! |---|---|
//! | `path` | which paths are taken |
//! | `program` | what runs inside: fixed shell programs that get every value as an argument |
//! | `list` | what the listing program prints |
//! | `transfer` | a transfer that is under way, and what its end means |

mod list;
mod path;
mod program;
#[cfg(test)]
mod tests;
mod transfer;

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use sandboxer_extension::ExecStdio;
use sandboxer_model::error::{ErrorCode, UserError};

pub use self::list::{MOST_LISTED, parse_list};
pub use self::path::{MOST_PATH, WorkspacePath};
pub use self::transfer::{Incoming, Outgoing};

use self::program::Program;
use crate::api::ExecCommand;
use crate::engine::Engine;

/// Bytes of a file or an archive at most.
pub const MOST_BYTES: u64 = 1 << 30;

/// Permission bits that a file may be given.
const PERMISSIONS: u32 = 0o777;

impl Engine {
    /// Writes a file of the workspace to `out`, which is closed at its end. Whether all of it was written is known when
    /// [`Outgoing::finish`] returns.
    ///
    /// # Errors
    /// Those of [`exec`](Engine::exec). What is wrong with the file is told by [`Outgoing::finish`]; nothing was written then.
    pub async fn read_file(&self, id: &str, path: &WorkspacePath, out: OwnedFd) -> Result<Outgoing, UserError> {
        let most = MOST_BYTES.to_string();
        self.out_of(id, path, program::READ, &[&most], out).await
    }

    /// Writes an archive of a file, or of what is in a directory, to `out`.
    ///
    /// # Errors
    /// As [`read_file`](Engine::read_file).
    pub async fn read_tree(&self, id: &str, path: &WorkspacePath, out: OwnedFd) -> Result<Outgoing, UserError> {
        self.out_of(id, path, program::READ_TREE, &[], out).await
    }

    /// Begins to write a file: what is sent into the returned descriptor is in its place once [`Incoming::finish`] said so.
    /// A transfer that breaks off before leaves what was there. `mode`: permission bits; `None`: those it has, or 0644.
    ///
    /// # Errors
    /// `InvalidInput` for the workspace itself or another bit of `mode`; those of [`exec`](Engine::exec).
    pub async fn write_file(
        &self,
        id: &str,
        path: &WorkspacePath,
        mode: Option<u32>,
    ) -> Result<(Incoming, OwnedFd), UserError> {
        path.beneath("write")?;
        let mode = match mode {
            None => String::new(),
            Some(mode) if mode & !PERMISSIONS == 0 => format!("{mode:o}"),
            Some(mode) => {
                let what = format!("a file cannot be given the mode {mode:o}: only permission bits up to 777");
                return Err(UserError::new(ErrorCode::InvalidInput, what));
            }
        };
        self.into(id, path, program::WRITE, &[&mode]).await
    }

    /// Begins to unpack an archive into a directory, which is made where it is not there. Nothing is unpacked before all of
    /// it arrived.
    ///
    /// # Errors
    /// Those of [`exec`](Engine::exec).
    pub async fn write_tree(&self, id: &str, path: &WorkspacePath) -> Result<(Incoming, OwnedFd), UserError> {
        self.into(id, path, program::WRITE_TREE, &[]).await
    }

    /// Writes what is in a directory to `out`, as [`parse_list`] reads it.
    ///
    /// # Errors
    /// As [`read_file`](Engine::read_file).
    pub async fn list_files(&self, id: &str, path: &WorkspacePath, out: OwnedFd) -> Result<Outgoing, UserError> {
        self.out_of(id, path, program::LIST, &[], out).await
    }

    /// Removes a file, a link or a directory with everything in it.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` for the workspace itself; those of [`exec`](Engine::exec).
    pub async fn remove_file(&self, id: &str, path: &WorkspacePath) -> Result<(), UserError> {
        path.beneath("remove")?;
        let out = null()?;
        self.out_of(id, path, program::REMOVE, &[], out).await?.finish().await
    }

    async fn out_of(
        &self,
        id: &str,
        path: &WorkspacePath,
        program: Program,
        more: &[&str],
        out: OwnedFd,
    ) -> Result<Outgoing, UserError> {
        let session = self.exec(id, command(program, path, more, null()?, out)?).await?;
        Ok(Outgoing::new(session, program, path.clone()))
    }

    async fn into(
        &self,
        id: &str,
        path: &WorkspacePath,
        program: Program,
        more: &[&str],
    ) -> Result<(Incoming, OwnedFd), UserError> {
        let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| no_descriptor(error.into()))?;
        // Nobody inside can guess it, so that nothing that is written can end with it by chance or by intent.
        let seal = format!("{:032x}", self.ports.ids.uuid().as_u128());
        let words = [&[seal.as_str()], more].concat();
        let session = self.exec(id, command(program, path, &words, theirs, null()?)?).await?;
        Ok((Incoming::new(session, program, path.clone(), seal), ours))
    }
}

fn command(
    program: Program,
    path: &WorkspacePath,
    more: &[&str],
    stdin: OwnedFd,
    stdout: OwnedFd,
) -> Result<ExecCommand, UserError> {
    let mut argv: Vec<Vec<u8>> = ["sh", "-c"].map(|word| word.as_bytes().to_vec()).into();
    argv.push(program.text());
    argv.push(b"sh".to_vec());
    argv.push(path.word());
    argv.extend(more.iter().map(|word| word.as_bytes().to_vec()));
    Ok(ExecCommand {
        argv,
        env: Vec::new(),
        cwd: None,
        service: None,
        stdio: ExecStdio::Pipes {
            stdin,
            stdout,
            stderr: null()?,
        },
    })
}

fn null() -> Result<OwnedFd, UserError> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| no_descriptor(error.into()))
}

fn no_descriptor(error: std::io::Error) -> UserError {
    UserError::new(
        ErrorCode::Unavailable,
        format!("cannot open a way into the sandbox: {error}"),
    )
}
