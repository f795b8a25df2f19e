//! Standard input, output and errors, each with a thread: a pipe that nobody reads or writes holds up itself only.

use std::os::fd::BorrowedFd;
use std::thread::JoinHandle;

use bytes::Bytes;
use rustix::io::Errno;
use sandboxer_model::error::{ErrorCode, UserError};
use tokio::sync::mpsc;

/// Bytes read at once.
const CHUNK: usize = 32 * 1024;
/// Chunks on their way; more wait in the pipe.
const DEPTH: usize = 4;

/// What is read here, in chunks; it ends when there is no more.
pub(super) fn input() -> Result<mpsc::Receiver<Bytes>, UserError> {
    let (tell, chunks) = mpsc::channel(DEPTH);
    // It may wait for a key that nobody presses: it ends with the process.
    start("input", move || {
        let mut buffer = vec![0u8; CHUNK];
        loop {
            match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
                Ok(0) => return,
                Ok(filled) => {
                    let chunk = Bytes::copy_from_slice(buffer.get(..filled).unwrap_or_default());
                    if tell.blocking_send(chunk).is_err() {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    })?;
    Ok(chunks)
}

/// Something that is written to as fast as it takes it.
pub(super) struct Drain {
    chunks: mpsc::Sender<Bytes>,
    thread: JoinHandle<()>,
}

impl Drain {
    /// Writes to this descriptor; `on_gone` is called when nobody reads it any more.
    pub(super) fn start(
        name: &str,
        to: BorrowedFd<'static>,
        on_gone: impl FnOnce() + Send + 'static,
    ) -> Result<Drain, UserError> {
        let (chunks, mut from) = mpsc::channel::<Bytes>(DEPTH);
        let thread = start(name, move || {
            let mut on_gone = Some(on_gone);
            while let Some(chunk) = from.blocking_recv() {
                if on_gone.is_some()
                    && !write(to, &chunk)
                    && let Some(tell) = on_gone.take()
                {
                    tell();
                }
            }
        })?;
        Ok(Drain { chunks, thread })
    }

    /// Hands over bytes; waits while they cannot be written.
    pub(super) async fn put(&self, bytes: Bytes) {
        let _ = self.chunks.send(bytes).await;
    }

    /// Waits until everything is written.
    pub(super) fn finish(self) {
        drop(self.chunks);
        let _ = self.thread.join();
    }
}

/// Writes all of it; false: nobody reads it any more.
fn write(to: BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, UserError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| UserError::new(ErrorCode::Internal, format!("cannot start a thread: {error}")))
}
