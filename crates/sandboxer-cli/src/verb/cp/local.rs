//! The side of a copy that is here.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::pipe::{PipeFlags, pipe_with};
use sandboxer_model::error::{ErrorCode, UserError};

use crate::context::Context;
use crate::service::{Service, Shape, Source};

/// Standard input or output.
const STANDARD: &str = "-";

/// What is to be copied from here.
pub(super) enum Found {
    Standard,
    File { path: PathBuf, mode: u32 },
    Directory(PathBuf),
}

impl Found {
    /// Looks what there is.
    ///
    /// # Errors
    /// `NotFound`, or something that is neither file nor directory.
    pub(super) fn look(context: &Context, text: &str) -> Result<Found, UserError> {
        if text == STANDARD {
            return Ok(Found::Standard);
        }
        let path = context.working_dir.join(text);
        let meta = std::fs::metadata(&path).map_err(|error| {
            UserError::new(ErrorCode::NotFound, format!("cannot copy {}: {error}", path.display()))
                .hint("write ID:PATH for what is in a sandbox")
        })?;
        match (meta.is_dir(), meta.is_file()) {
            (true, _) => Ok(Found::Directory(path)),
            (_, true) => Ok(Found::File {
                path,
                mode: meta.permissions().mode() & 0o777,
            }),
            _ => Err(UserError::new(
                ErrorCode::InvalidInput,
                format!("{} is neither a file nor a directory", path.display()),
            )),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        match self {
            Found::Standard | Found::File { .. } => Shape::File,
            Found::Directory(_) => Shape::Archive,
        }
    }

    /// Its own name.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Found::Standard => None,
            Found::File { path, .. } | Found::Directory(path) => {
                path.file_name().map(|name| name.to_string_lossy().into_owned())
            }
        }
    }

    /// Permission bits of a file.
    pub(super) fn mode(&self) -> Option<u32> {
        match self {
            Found::File { mode, .. } => Some(*mode),
            Found::Standard | Found::Directory(_) => None,
        }
    }

    /// What writes it.
    pub(super) fn source(&self) -> Source {
        match self {
            Found::Standard => Arc::new(|to: &mut dyn Write| io::copy(&mut io::stdin().lock(), to).map(|_| ())),
            Found::File { path, .. } => {
                let path = path.clone();
                Arc::new(move |to: &mut dyn Write| io::copy(&mut File::open(&path)?, to).map(|_| ()))
            }
            Found::Directory(path) => {
                let path = path.clone();
                Arc::new(move |to: &mut dyn Write| {
                    let mut archive = tar::Builder::new(to);
                    archive.follow_symlinks(false);
                    archive.append_dir_all("", &path)?;
                    archive.finish()
                })
            }
        }
    }
}

/// Writes a file of a workspace here: whole, or not at all.
///
/// # Errors
/// Those of the service; it cannot be written.
pub(super) async fn write(
    context: &Context,
    service: &Service,
    (id, path): (&str, &str),
    to: &str,
) -> Result<(), UserError> {
    if to == STANDARD {
        let out = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)
            .map_err(|error| failed(Path::new("-"), &error))?;
        return service.read(id, path, Shape::File, out).await;
    }
    let mut place = context.working_dir.join(to);
    if place.is_dir() {
        place.push(path.rsplit('/').next().unwrap_or(path));
    }
    let mut draft = place.clone().into_os_string();
    draft.push(format!(".{}.part", std::process::id()));
    let draft = PathBuf::from(draft);
    let file = File::create_new(&draft).map_err(|error| failed(&draft, &error))?;
    let outcome = match service.read(id, path, Shape::File, file.into()).await {
        Ok(()) => std::fs::rename(&draft, &place).map_err(|error| failed(&place, &error)),
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    outcome
}

/// Unpacks a directory of a workspace here.
///
/// # Errors
/// Those of the service; something in it would lead elsewhere, or cannot be written.
pub(super) async fn unpack(
    context: &Context,
    service: &Service,
    (id, path): (&str, &str),
    to: &str,
) -> Result<(), UserError> {
    if to == STANDARD {
        let out = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)
            .map_err(|error| failed(Path::new("-"), &error))?;
        return service.read(id, path, Shape::Archive, out).await;
    }
    let place = context.working_dir.join(to);
    std::fs::create_dir_all(&place).map_err(|error| failed(&place, &error))?;
    let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(&place, &error))?;
    let target = place.clone();
    let unpacking = std::thread::Builder::new()
        .name("unpack".to_owned())
        .spawn(move || unpack_all(theirs, &target))
        .map_err(|error| failed(&place, &error))?;
    let read = service.read(id, path, Shape::Archive, ours).await;
    let unpacked = unpacking
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("it broke off")));
    match (read, unpacked) {
        // Nobody reads any more because of this.
        (_, Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => Err(failed(&place, &error)),
        (Err(error), _) => Err(error),
        (Ok(()), unpacked) => unpacked.map_err(|error| failed(&place, &error)),
    }
}

/// The archive comes from a sandbox: nothing in it is believed.
fn unpack_all(from: OwnedFd, place: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(File::from(from));
    archive.set_preserve_permissions(false);
    archive.set_preserve_mtime(false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
            continue;
        }
        if !entry.unpack_in(place)? {
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            return Err(io::Error::other(format!("`{name}` would lead out of it")));
        }
    }
    // What follows the end of an archive is read, too, so that whoever sends it is not told that nobody listens.
    io::copy(&mut archive.into_inner().take(1 << 30), &mut io::sink()).map(|_| ())
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> UserError {
    UserError::new(
        ErrorCode::InvalidInput,
        format!("cannot copy to {}: {error}", path.display()),
    )
}
