//! What is known of sandboxes right now, whoever made them.

use std::os::fd::AsFd;

use rustix::io::Errno;
use sandboxer_model::cleanup::Presence;
use sandboxer_model::money::Usage;

use super::{ANSWER_TIMEOUT, Runtime, answer, gone};
use crate::cgroup;
use crate::error::{NativeError, Tried};
use crate::files;
use crate::reap;
use crate::socket;
use crate::spec::{EndedRecord, FromShim, How, Intent, Launched, ToShim};
use crate::wire;

/// What is known of a sandbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Whether anything of it exists.
    pub presence: Presence,
    /// Whether its first process runs.
    pub alive: bool,
    /// How it ended by itself.
    pub ended: Option<How>,
    /// Whether a command runs inside; `None`: could not be told.
    pub busy: Option<bool>,
    /// What it used, if it ended by itself.
    pub usage: Option<Usage>,
    /// For people.
    pub detail: String,
}

impl Observed {
    /// Whether there is anything, and nothing else.
    fn only(presence: Presence, detail: impl Into<String>) -> Observed {
        Observed {
            presence,
            alive: false,
            ended: None,
            busy: None,
            usage: None,
            detail: detail.into(),
        }
    }
}

/// One sandbox directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The sandbox.
    pub id: String,
    /// Its owner, if its intent can be read.
    pub installation: Option<String>,
    /// The epoch it was made under.
    pub epoch: Option<u64>,
}

impl Runtime {
    /// What it used so far.
    ///
    /// # Errors
    /// `NotFound` when it does not run and left no note.
    pub fn usage(&self, id: &str) -> Result<Usage, NativeError> {
        let home = self.layout.home(id);
        if let Ok(socket) = socket::connect_now(&home.path, "shim.sock")
            && wire::send_json(socket.as_fd(), &ToShim::Usage).is_ok()
            && let Ok(FromShim::Usage(usage)) = answer(socket.as_fd(), ANSWER_TIMEOUT)
        {
            return Ok(usage);
        }
        if let Ok(note) = files::read_json::<EndedRecord>(&home.ended()) {
            return Ok(note.usage);
        }
        // Its keeper is gone, its groups may still account for it.
        match files::read_json::<Intent>(&home.intent()) {
            Ok(intent) if self.running(&home).is_some() => Ok(crate::cgroup::usage(&intent.cgroups)),
            _ => Err(gone(id)),
        }
    }

    /// What is known of it right now.
    pub fn observe(&self, id: &str) -> Observed {
        self.look(id)
            .unwrap_or_else(|error| Observed::only(Presence::Unknown, format!("cannot look: {error}")))
    }

    fn look(&self, id: &str) -> std::io::Result<Observed> {
        let home = self.layout.home(id);
        match rustix::fs::stat(&home.path) {
            Err(Errno::NOENT) => return self.look_beside(id),
            other => other?,
        };
        // Unreadable is not half made: another user may have made it.
        if let Err(errno) = rustix::fs::access(&home.path, rustix::fs::Access::READ_OK | rustix::fs::Access::EXEC_OK) {
            let why = format!("cannot look into it: {}", std::io::Error::from(errno));
            return Ok(Observed::only(Presence::Unknown, why));
        }
        if let Some(note) = files::read_json_if_any::<EndedRecord>(&home.ended())? {
            let detail = match note.how {
                How::Deadline => "its deadline passed",
                How::Killed => "its first process was killed",
                How::OutOfMemory => "it used more memory than it may",
                How::OutOfDisk => "it used more disk than it may",
            };
            return Ok(Observed {
                ended: Some(note.how),
                usage: Some(note.usage),
                ..Observed::only(Presence::Present, detail)
            });
        }
        let Some(launched) = files::read_json_if_any::<Launched>(&home.state())? else {
            return Ok(Observed::only(Presence::Present, "half made"));
        };
        let boot = &self.machine().boot;
        let (alive, keeper) = (launched.init.is_alive(boot)?, launched.shim.is_alive(boot)?);
        let detail = match (alive, keeper) {
            (true, true) => format!("running, first process {}", launched.init.pid),
            (true, false) => format!("running without its keeper, first process {}", launched.init.pid),
            (false, _) if launched.init.boot != *boot => "the machine was restarted".to_owned(),
            (false, _) => "its first process is gone".to_owned(),
        };
        // Between the end of pid 1 and the keeper's note there is a moment: the keeper is asked first.
        let ended = (!alive && !keeper).then_some(How::Killed);
        Ok(Observed {
            alive,
            ended,
            busy: alive.then(|| has_children(launched.init.pid)).flatten(),
            ..Observed::only(Presence::Present, detail)
        })
    }

    /// What there is of one that has no directory.
    fn look_beside(&self, id: &str) -> std::io::Result<Observed> {
        let what = if !cgroup::groups_of(&self.machine().hierarchies, id).is_empty() {
            "its directory is gone, its control groups are not"
        } else if !reap::graves(&self.layout, id)?.is_empty() {
            "its removal is not finished"
        } else {
            return Ok(Observed::only(Presence::Absent, "nothing of it exists"));
        };
        Ok(Observed::only(Presence::Present, what))
    }

    /// Every sandbox directory.
    ///
    /// # Errors
    /// The directory cannot be read: then nothing is known.
    pub fn list(&self) -> Result<Vec<Listed>, NativeError> {
        let names = match files::names(&self.layout.sandboxes()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            other => other.tried(&format!("list {}", self.layout.sandboxes().display()))?,
        };
        Ok(names
            .into_iter()
            .map(|id| {
                let intent = files::read_json::<Intent>(&self.layout.home(&id).intent()).ok();
                Listed {
                    installation: intent.as_ref().map(|intent| intent.installation.clone()),
                    epoch: intent.map(|intent| intent.epoch),
                    id,
                }
            })
            .collect())
    }
}

/// Whether a process has children: commands are children of the first process, and what they leave behind becomes so.
/// `None`: the kernel does not say.
fn has_children(pid: i32) -> Option<bool> {
    let tasks = files::names(std::path::Path::new(&format!("/proc/{pid}/task"))).ok()?;
    let mut any = false;
    for task in tasks {
        let children = files::read_text(format!("/proc/{pid}/task/{task}/children"), 1 << 20).ok()?;
        any |= !children.trim().is_empty();
    }
    Some(any)
}
