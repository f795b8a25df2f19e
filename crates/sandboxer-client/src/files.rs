//! Files of a workspace, uploads and logs: streamed both ways, never whole in memory.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use reqwest::Method;
use sandboxer_api::request::{FileEntry, Upload, WrittenFile};
use sandboxer_model::error::UserError;
use sandboxer_model::id::SandboxId;
use tokio::sync::mpsc;

use crate::address::part;
use crate::answer::Answer;
use crate::call::{Call, Wanted};
use crate::error::{innermost, unreachable};
use crate::transport::Client;

/// What is sent, made anew for each try.
pub type MakeBody = Arc<dyn Fn() -> Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>> + Send + Sync>;

/// Pieces on their way from whoever writes them; more wait.
const DEPTH: usize = 4;
/// Bytes of a piece.
const PIECE: usize = 64 * 1024;

/// What `write` writes, from a thread of its own for each try, no faster than it is sent.
pub fn made_by(write: impl Fn(&mut dyn Write) -> io::Result<()> + Send + Sync + 'static) -> MakeBody {
    let write = Arc::new(write);
    Arc::new(move || {
        let (tell, pieces) = mpsc::channel(DEPTH);
        let write = Arc::clone(&write);
        let failed = tell.clone();
        let thread = std::thread::Builder::new().name("body".to_owned()).spawn(move || {
            let mut pieces = Pieces {
                full: Vec::with_capacity(PIECE),
                tell,
            };
            if let Err(error) = write(&mut pieces).and_then(|()| pieces.flush()) {
                // Nobody is told where nobody listens any more.
                let _ = pieces.tell.blocking_send(Err(error));
            }
        });
        if let Err(error) = thread {
            let _ = failed.try_send(Err(error));
        }
        drop(failed);
        Box::pin(futures_util::stream::unfold(pieces, |mut pieces| async {
            pieces.recv().await.map(|piece| (piece, pieces))
        }))
    })
}

struct Pieces {
    full: Vec<u8>,
    tell: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.full.extend_from_slice(bytes);
        if self.full.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.full.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.full, Vec::with_capacity(PIECE));
        self.tell
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// A gigabyte over a slow line.
const SLOW: Duration = Duration::from_secs(60 * 60);
const OCTETS: &str = "application/octet-stream";
const TAR: &str = "application/x-tar";

/// Bytes that come as they are read.
pub struct ByteStream {
    answer: Answer,
}

impl ByteStream {
    pub(crate) fn new(answer: Answer) -> ByteStream {
        ByteStream { answer }
    }

    /// The next bytes; `None`: that was all of it.
    ///
    /// # Errors
    /// `Unavailable`: the connection broke, so that the rest is missing.
    pub async fn next(&mut self) -> Result<Option<Bytes>, UserError> {
        match self.answer.response.chunk().await {
            Ok(chunk) => Ok(chunk),
            Err(error) => {
                let why = format!("the connection broke before the end: {}", innermost(&error));
                Err(unreachable(&self.answer.address, &self.answer.what, &why, 1))
            }
        }
    }
}

fn files(id: &SandboxId) -> String {
    format!("v1/sandboxes/{}/files", part(id.as_str()))
}

impl Client {
    /// Reads a file. `path` is below the workspace.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput`.
    pub async fn read_file(&self, id: &SandboxId, path: &str) -> Result<ByteStream, UserError> {
        let call = Call::get(files(id)).query("path", path).wanted(Wanted::Stream(OCTETS));
        self.send(call).await.map(ByteStream::new)
    }

    /// Reads a file or directory as a tar archive.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput`.
    pub async fn read_archive(&self, id: &SandboxId, path: &str) -> Result<ByteStream, UserError> {
        let call = Call::get(files(id)).query("path", path).query("archive", "tar");
        let call = call.wanted(Wanted::Stream(TAR));
        self.send(call).await.map(ByteStream::new)
    }

    /// What is in a directory.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput`.
    pub async fn files(&self, id: &SandboxId, path: &str) -> Result<Vec<FileEntry>, UserError> {
        self.ask(Call::get(format!("{}/list", files(id))).query("path", path))
            .await
    }

    /// Writes a file; what was there is replaced. `mode`: permission bits.
    ///
    /// # Errors
    /// `InvalidInput`, `TooLarge`.
    pub async fn write_file(
        &self,
        id: &SandboxId,
        path: &str,
        mode: Option<u32>,
        body: MakeBody,
    ) -> Result<WrittenFile, UserError> {
        let call = Call::other(Method::PUT, files(id))
            .query("path", path)
            .query_if("mode", mode.map(|mode| format!("{mode:04o}")));
        self.ask(call.stream(body, OCTETS).timeout(SLOW)).await
    }

    /// Unpacks a tar archive below a directory.
    ///
    /// # Errors
    /// `InvalidInput`, `TooLarge`.
    pub async fn write_archive(&self, id: &SandboxId, path: &str, body: MakeBody) -> Result<WrittenFile, UserError> {
        let call = Call::other(Method::PUT, files(id)).query("path", path);
        self.ask(call.query("archive", "tar").stream(body, OCTETS).timeout(SLOW))
            .await
    }

    /// Removes a file or directory.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput`.
    pub async fn remove_file(&self, id: &SandboxId, path: &str) -> Result<(), UserError> {
        self.tell(Call::other(Method::DELETE, files(id)).query("path", path))
            .await
    }

    /// Uploads a directory as a tar archive, to be an input of a create.
    ///
    /// # Errors
    /// `InvalidInput`, `TooLarge`.
    pub async fn upload(&self, body: MakeBody) -> Result<Upload, UserError> {
        self.ask(Call::post("v1/uploads").stream(body, TAR).timeout(SLOW)).await
    }

    /// What the services of a sandbox print: the last `tail` lines of each, or of one.
    ///
    /// # Errors
    /// `NotFound`, `Unsupported`.
    pub async fn logs(&self, id: &SandboxId, service: Option<&str>, tail: u32) -> Result<ByteStream, UserError> {
        let call = Call::get(format!("v1/sandboxes/{}/logs", part(id.as_str())))
            .query("tail", tail.to_string())
            .query_if("service", service);
        let call = call.wanted(Wanted::Stream("text/plain"));
        self.send(call).await.map(ByteStream::new)
    }
}
