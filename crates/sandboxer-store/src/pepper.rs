//! What secrets of callers are hashed with. It lives beside the database and never in it: whoever gets hold of a copy of the
//! database alone can try no secret against it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use sandboxer_extension::port::IdSource;

use crate::error::StoreError;

const FILE: &str = "sandboxer.pepper";
const LEN: usize = 32;

/// What secrets are hashed with.
pub(crate) type Pepper = [u8; LEN];

/// Reads the pepper of this directory, and makes it where there is none. Of many that come first at once all get the same.
pub(crate) fn read_or_make(data_dir: &Path, ids: &dyn IdSource) -> Result<Pepper, StoreError> {
    let path = data_dir.join(FILE);
    let unavailable = |error: std::io::Error| StoreError::Unavailable {
        path: path.display().to_string(),
        why: error.to_string(),
    };
    match read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        other => return other.map_err(unavailable),
    }
    make(data_dir, &path, ids).map_err(unavailable)?;
    read(&path).map_err(unavailable)
}

#[expect(clippy::disallowed_methods, reason = "this crate is the port")]
fn read(path: &Path) -> std::io::Result<Pepper> {
    let file = std::fs::OpenOptions::new().read(true).open(path)?;
    let mut bytes = Vec::with_capacity(LEN + 1);
    file.take(LEN as u64 + 1).read_to_end(&mut bytes)?;
    bytes.try_into().map_err(|_| {
        std::io::Error::other(format!(
            "it is not {LEN} bytes long; restore it from a backup, or remove it and make every key anew"
        ))
    })
}

/// Writes the whole file beside its place and links it there in one step: the first one stays.
#[expect(clippy::disallowed_methods, reason = "this crate is the port")]
fn make(data_dir: &Path, path: &Path, ids: &dyn IdSource) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let draft = Draft(data_dir.join(format!("{FILE}.{}.new", ids.uuid().simple())));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft.0)?;
    file.write_all(&ids.key()?)?;
    file.sync_all()?;
    match std::fs::hard_link(&draft.0, path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    std::fs::File::open(data_dir)?.sync_all()
}

/// A file in the making; its name goes whether it was linked to its place or not.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
