//! Files of a workspace, streamed from and to descriptors of this process.

use std::io::Write;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use sandboxer_api::request::{FileEntry, FileKind, WrittenFile};
use sandboxer_client::made_by;
use sandboxer_model::error::{ErrorCode, UserError};

use super::Service;

/// Writes what is to be sent. It may be asked for again, where nothing was heard of it.
pub(crate) type Source = Arc<dyn Fn(&mut dyn Write) -> std::io::Result<()> + Send + Sync>;

/// How something travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The bytes of one file.
    File,
    /// A tar archive of what is in a directory.
    Archive,
}

impl Service {
    /// What is at this path of a workspace: a directory, or something that is read as a file.
    pub(crate) async fn shape(&self, id: &str, path: &str) -> Result<Shape, UserError> {
        let (parent, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or((".", path));
        if matches!(name.trim_end_matches('/'), "" | ".") {
            return Ok(Shape::Archive);
        }
        let found = self.files(id, parent).await?;
        match found.iter().find(|entry| entry.name == name.trim_end_matches('/')) {
            Some(entry) if entry.kind == FileKind::Directory => Ok(Shape::Archive),
            // One that is not there is told by whoever reads it.
            _ => Ok(Shape::File),
        }
    }

    async fn files(&self, id: &str, path: &str) -> Result<Vec<FileEntry>, UserError> {
        match self {
            Service::Embedded(_) => Err(not_yet()),
            Service::Remote(client) => client.files(&client.resolve(id).await?, path).await,
        }
    }

    /// Reads from a workspace into a descriptor, which is closed at the end.
    pub(crate) async fn read(&self, id: &str, path: &str, shape: Shape, to: OwnedFd) -> Result<(), UserError> {
        let Service::Remote(client) = self else {
            return Err(not_yet());
        };
        let id = client.resolve(id).await?;
        let mut bytes = match shape {
            Shape::File => client.read_file(&id, path).await?,
            Shape::Archive => client.read_archive(&id, path).await?,
        };
        while let Some(chunk) = bytes.next().await? {
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let written = rustix::io::retry_on_intr(|| rustix::io::write(to.as_fd(), rest)).map_err(|error| {
                    UserError::new(ErrorCode::Internal, format!("cannot write what was read: {error}"))
                })?;
                rest = rest.get(written..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Writes into a workspace. `mode`: permission bits of a file.
    pub(crate) async fn write(
        &self,
        id: &str,
        path: &str,
        shape: Shape,
        mode: Option<u32>,
        source: Source,
    ) -> Result<WrittenFile, UserError> {
        let Service::Remote(client) = self else {
            return Err(not_yet());
        };
        let id = client.resolve(id).await?;
        let body = made_by(move |to| source(to));
        match shape {
            Shape::File => client.write_file(&id, path, mode, body).await,
            Shape::Archive => client.write_archive(&id, path, body).await,
        }
    }
}

fn not_yet() -> UserError {
    UserError::new(ErrorCode::Unsupported, "files are copied through a server only")
        .hint("use tar: `tar c DIR | sandboxer exec ID -- tar x`, or name a server with `--api`")
}
