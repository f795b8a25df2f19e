//! Files of a workspace, streamed from and to descriptors of this process.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use sandboxer_api::request::{FileEntry, FileKind, WrittenFile};
use sandboxer_client::made_by;
use sandboxer_model::error::{ErrorCode, UserError};

use super::{Service, here};

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
            Service::Embedded(engine) => here::list(engine, id, path).await,
            Service::Remote(client) => client.files(&client.resolve(id).await?, path).await,
        }
    }

    /// Reads from a workspace into a descriptor, which is closed at the end.
    pub(crate) async fn read(&self, id: &str, path: &str, shape: Shape, to: OwnedFd) -> Result<(), UserError> {
        let client = match self {
            Service::Embedded(engine) => return here::read(engine, id, path, shape, to).await,
            Service::Remote(client) => client,
        };
        let id = client.resolve(id).await?;
        let mut bytes = match shape {
            Shape::File => client.read_file(&id, path).await?,
            Shape::Archive => client.read_archive(&id, path).await?,
        };
        let mut to = std::fs::File::from(to);
        while let Some(chunk) = bytes.next().await? {
            to.write_all(&chunk).map_err(|error| {
                UserError::new(
                    ErrorCode::Internal,
                    format!("cannot write what was read of `{path}`: {error}"),
                )
            })?;
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
        let client = match self {
            Service::Embedded(engine) => return here::write(engine, id, path, (shape, mode), source).await,
            Service::Remote(client) => client,
        };
        let id = client.resolve(id).await?;
        let body = made_by(move |to| source(to));
        match shape {
            Shape::File => client.write_file(&id, path, mode, body).await,
            Shape::Archive => client.write_archive(&id, path, body).await,
        }
    }
}
