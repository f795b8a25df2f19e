//! The verbs that are killed, what each needs to be there, and what may be true afterwards.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Answer, World, wait_until};

/// One verb.
pub(crate) struct Verb {
    /// Its words; `ID` stands for the sandbox.
    words: &'static [&'static str],
    before: Before,
    /// States that a sandbox may have come to; `gone` stands for `destroyed`, `failed` and for never having been stored.
    pub(crate) ends: &'static [&'static str],
    /// Fewest places it must have. A place that nobody reaches any more would go unnoticed otherwise.
    pub(crate) places: usize,
    /// Fewest pairs of deaths.
    pub(crate) pairs: usize,
}

/// What is there before.
enum Before {
    Nothing,
    Ready,
    /// Its time has passed, and nobody has looked since.
    Overdue,
    /// It ended by itself, and nobody has looked since.
    Lost,
    Destroyed,
}

const PROFILE: &[&str] = &["create", "--profile", "profile.native"];

pub(crate) const CREATE: Verb = Verb {
    words: PROFILE,
    before: Before::Nothing,
    ends: &["ready", "gone"],
    places: 15,
    pairs: 45,
};
pub(crate) const CREATE_WITH_KEY: Verb = Verb {
    words: &["create", "--profile", "profile.native", "--idempotency-key", "k"],
    before: Before::Nothing,
    // Whoever has the key can ask again: it is finished, never undone.
    ends: &["ready"],
    places: 15,
    pairs: 45,
};
pub(crate) const CREATE_SHARED: Verb = Verb {
    words: &["create", "--profile", "profile.native", "--scope", "shared"],
    before: Before::Nothing,
    ends: &["ready", "gone"],
    places: 15,
    pairs: 45,
};
/// The kernel does not map the owners of such files: it fails after its backend was asked, and is undone.
pub(crate) const CREATE_IN_VAIN: Verb = Verb {
    words: &["create", "--profile", "profile.native", "--input", "repo=/proc"],
    before: Before::Nothing,
    ends: &["ready", "gone"],
    places: 13,
    pairs: 30,
};
pub(crate) const RUN: Verb = Verb {
    words: &["run", "--", "true"],
    before: Before::Nothing,
    ends: &["gone"],
    places: 22,
    pairs: 80,
};
pub(crate) const RUN_WHAT_FAILS: Verb = Verb {
    words: &["run", "--", "false"],
    before: Before::Nothing,
    ends: &["gone"],
    places: 22,
    pairs: 80,
};
pub(crate) const RUN_IN_VAIN: Verb = Verb {
    words: &["run", "--input", "repo=/proc", "--", "true"],
    before: Before::Nothing,
    ends: &["gone"],
    places: 13,
    pairs: 30,
};
pub(crate) const DESTROY: Verb = Verb {
    words: &["destroy", "ID"],
    before: Before::Ready,
    ends: &["ready", "gone"],
    places: 12,
    pairs: 30,
};
pub(crate) const DESTROY_LOST: Verb = Verb {
    words: &["destroy", "ID"],
    before: Before::Lost,
    ends: &["gone"],
    places: 12,
    pairs: 45,
};
pub(crate) const RECREATE: Verb = Verb {
    words: &["recreate", "ID"],
    before: Before::Ready,
    ends: &["ready", "gone"],
    places: 22,
    pairs: 80,
};
pub(crate) const RECREATE_LOST: Verb = Verb {
    words: &["recreate", "ID"],
    before: Before::Lost,
    ends: &["ready", "gone"],
    places: 22,
    pairs: 80,
};
pub(crate) const RECREATE_DESTROYED: Verb = Verb {
    words: &["recreate", "ID"],
    before: Before::Destroyed,
    ends: &["ready", "gone"],
    places: 18,
    pairs: 60,
};
pub(crate) const EXTEND: Verb = Verb {
    words: &["extend-ttl", "ID", "--duration", "1h"],
    before: Before::Ready,
    ends: &["ready"],
    places: 12,
    pairs: 30,
};
pub(crate) const EXPIRE: Verb = Verb {
    words: &["list"],
    before: Before::Overdue,
    ends: &["gone"],
    places: 12,
    pairs: 15,
};
pub(crate) const EXEC: Verb = Verb {
    words: &["exec", "ID", "--", "true"],
    before: Before::Ready,
    ends: &["ready", "active"],
    places: 2,
    pairs: 0,
};
pub(crate) const LABEL: Verb = Verb {
    words: &["label", "ID", "color=red"],
    before: Before::Ready,
    ends: &["ready"],
    places: 2,
    pairs: 0,
};

impl Verb {
    /// Places at which the command that finishes or undoes is killed as well, for each place of the first.
    pub(crate) fn seconds(&self) -> usize {
        match self.before {
            // Each takes a second to become so.
            Before::Overdue => 2,
            _ => 5,
        }
    }

    /// Makes what is there before; the sandbox, if one is.
    pub(crate) fn prepare(&self, world: &World) -> Option<String> {
        match self.before {
            Before::Nothing => None,
            Before::Ready => Some(world.create(&[])),
            Before::Destroyed => {
                let id = world.create(&[]);
                world.destroy(&id);
                Some(id)
            }
            Before::Overdue => {
                let id = world.create(&["--ttl", "1s"]);
                ended(world, &id);
                Some(id)
            }
            Before::Lost => {
                let id = world.create(&[]);
                kill_first(world, &id);
                ended(world, &id);
                Some(id)
            }
        }
    }

    /// Runs it to its end, or to its death.
    pub(crate) fn invoke(&self, world: &World, id: Option<&str>, env: &[(&str, &str)]) -> Answer {
        let fill = |word: &&'static str| if *word == "ID" { id.unwrap_or(word) } else { word };
        let words: Vec<&str> = self.words.iter().map(fill).collect();
        world.run_with(&words, env)
    }
}

fn home(world: &World, id: &str) -> PathBuf {
    world.data.join("native/sb").join(id)
}

/// Waits until its keeper has written down that it ended.
pub(crate) fn ended(world: &World, id: &str) {
    let note = home(world, id).join("ended.json");
    wait_until("it ends", || {
        note.exists().then_some(()).ok_or_else(|| "it lives".to_owned())
    });
}

/// Kills its first process.
fn kill_first(world: &World, id: &str) {
    let state = std::fs::read(home(world, id).join("state.json")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    let pid = i32::try_from(state["init"]["pid"].as_i64().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
