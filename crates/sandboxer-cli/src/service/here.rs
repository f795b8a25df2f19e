//! Files of a workspace through the engine in this process: programs inside read and write pipes that end here.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;

use rustix::pipe::{PipeFlags, pipe_with};
use sandboxer_api::request::{FileEntry, WrittenFile};
use sandboxer_engine::Engine;
use sandboxer_engine::files::{WorkspacePath, parse_list};
use sandboxer_model::error::{ErrorCode, UserError};

use super::files::{Shape, Source};

/// More than any directory prints.
const MOST_BYTES: u64 = 256 << 20;

/// What is in a directory.
///
/// # Errors
/// Those of the engine.
pub(super) async fn list(engine: &Engine, id: &str, path: &str) -> Result<Vec<FileEntry>, UserError> {
    let path: WorkspacePath = path.parse()?;
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| broke_off(&error.into()))?;
    let reading = beside("listing", move || {
        let mut printed = Vec::new();
        File::from(ours).take(MOST_BYTES).read_to_end(&mut printed)?;
        Ok(printed)
    })?;
    engine.list_files(id, &path, theirs).await?.finish().await?;
    parse_list(&outcome(reading).map_err(|error| broke_off(&error))?)
}

/// Reads into a descriptor.
///
/// # Errors
/// Those of the engine.
pub(super) async fn read(engine: &Engine, id: &str, path: &str, shape: Shape, to: OwnedFd) -> Result<(), UserError> {
    let path: WorkspacePath = path.parse()?;
    let outgoing = match shape {
        Shape::File => engine.read_file(id, &path, to).await?,
        Shape::Archive => engine.read_tree(id, &path, to).await?,
    };
    outgoing.finish().await
}

/// Writes what the source writes: all of it, or nothing is changed.
///
/// # Errors
/// Those of the engine; the source fails.
pub(super) async fn write(
    engine: &Engine,
    id: &str,
    path: &str,
    (shape, mode): (Shape, Option<u32>),
    source: Source,
) -> Result<WrittenFile, UserError> {
    let path: WorkspacePath = path.parse()?;
    let (incoming, to) = match shape {
        Shape::File => engine.write_file(id, &path, mode).await?,
        Shape::Archive => engine.write_tree(id, &path).await?,
    };
    let seal = incoming.seal().to_vec();
    let writing = beside("source", move || {
        let mut to = Counted {
            to: File::from(to),
            bytes: 0,
        };
        source(&mut to)?;
        to.to.write_all(&seal)?;
        Ok(to.bytes)
    })?;
    let ended = incoming.finish().await;
    match (ended, outcome(writing)) {
        (Ok(()), Ok(bytes)) => Ok(WrittenFile {
            path: path.to_string(),
            bytes,
        }),
        // Whoever refused it does not read the rest.
        (Err(error), Err(broken)) if broken.kind() == io::ErrorKind::BrokenPipe => Err(error),
        (_, Err(error)) => Err(broke_off(&error)),
        (Err(error), Ok(_)) => Err(error),
    }
}

struct Counted {
    to: File,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn beside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<JoinHandle<io::Result<T>>, UserError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| broke_off(&error))
}

fn outcome<T>(thread: JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("it broke off")))
}

fn broke_off(error: &io::Error) -> UserError {
    UserError::new(ErrorCode::Internal, format!("cannot copy: {error}"))
}
