//! Where the runtime keeps what belongs to a sandbox.
//!
//! ```text
//! <root>/                 0700
//!   sb/<id>/intent.json   written first: everything a removal needs to know
//!   sb/<id>/state.json    written when it is ready
//!   sb/<id>/ended.json    written when it ended by itself
//!   sb/<id>/epoch         fencing numbers seen that are newer than the first
//!   sb/<id>/lock          held and signed by its keeper: free means the keeper is gone
//!   sb/<id>/init.sock     pid 1 listens here
//!   sb/<id>/shim.sock     the keeper listens here
//!   sb/<id>/disk/         writable files, where they are not kept in memory
//!   fence/<id>            fencing numbers of a sandbox that is gone
//!   fences-looked-at      its age: when old ones were last looked for
//!   uid/<n>               link: block n of user ids is leased to the sandbox it names
//!   trash/                renamed here, then removed
//! ```

use std::io;
use std::path::{Path, PathBuf};

use crate::files;

/// The runtime's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Layout {
        Layout { root: root.to_owned() }
    }

    /// Makes the directories that all sandboxes share.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        if self.sandboxes().is_dir() {
            return Ok(());
        }
        for dir in [
            self.root.clone(),
            self.fences(),
            self.root.join("uid"),
            self.root.join("trash"),
            self.sandboxes(),
        ] {
            files::make_private_dir(&dir)?;
        }
        Ok(())
    }

    pub(crate) fn sandboxes(&self) -> PathBuf {
        self.root.join("sb")
    }

    pub(crate) fn home(&self, id: &str) -> Home {
        Home {
            path: self.sandboxes().join(id),
        }
    }

    pub(crate) fn fence(&self, id: &str) -> PathBuf {
        self.fences().join(id)
    }

    pub(crate) fn fences(&self) -> PathBuf {
        self.root.join("fence")
    }

    pub(crate) fn fences_looked_at(&self) -> PathBuf {
        self.root.join("fences-looked-at")
    }

    pub(crate) fn uid_leases(&self) -> PathBuf {
        self.root.join("uid")
    }

    pub(crate) fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }
}

/// The directory of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) path: PathBuf,
}

impl Home {
    pub(crate) fn intent(&self) -> PathBuf {
        self.path.join("intent.json")
    }
    pub(crate) fn state(&self) -> PathBuf {
        self.path.join("state.json")
    }
    pub(crate) fn ended(&self) -> PathBuf {
        self.path.join("ended.json")
    }
    pub(crate) fn epoch(&self) -> PathBuf {
        self.path.join("epoch")
    }
    pub(crate) fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }
    /// Whether the directory was made and nobody has begun to fill it. What cannot be looked at counts as begun.
    pub(crate) fn is_untouched(&self) -> bool {
        let is_there = |path: &Path| path.try_exists().unwrap_or(true);
        let is_signed = std::fs::metadata(self.lock()).map_or(true, |lock| lock.len() > 0);
        !is_signed && !is_there(&self.intent()) && !is_there(&self.epoch())
    }
    pub(crate) fn disk(&self) -> PathBuf {
        self.path.join("disk")
    }
}
