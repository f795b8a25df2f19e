//! Files of a workspace, uploads and logs: streamed both ways, never whole in memory.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use reqwest::Method;
use sandboxer_api::request::{FileEntry, Upload, WrittenFile};
use sandboxer_model::error::UserError;
use sandboxer_model::id::SandboxId;

use crate::address::part;
use crate::error::{innermost, unreachable};
use crate::transport::{Answer, Call, Client, Wanted};

/// What is sent, made anew for each try.
pub type MakeBody = Arc<dyn Fn() -> Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>> + Send + Sync>;

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
        self.ask(call.query("archive", "tar").stream(body, TAR).timeout(SLOW))
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
    pub async fn logs(
        &self,
        id: &SandboxId,
        service: Option<&str>,
        tail: u32,
        follow: bool,
    ) -> Result<ByteStream, UserError> {
        let call = Call::get(format!("v1/sandboxes/{}/logs", part(id.as_str())))
            .query("tail", tail.to_string())
            .query_if("service", service)
            .query_if("follow", follow.then_some("true"));
        let call = call.wanted(Wanted::Stream("text/plain"));
        self.send(call).await.map(ByteStream::new)
    }
}
