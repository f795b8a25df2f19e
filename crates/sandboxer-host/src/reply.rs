//! What the program on the host answers: lines `key value…`. Hostile data: unknown lines are passed over, numbers that are
//! none are unknown, and nothing of it is taken for a command.

use std::net::Ipv4Addr;

use sandboxer_extension::{ErrorKind, ExtensionError};
use sandboxer_model::cleanup::{CleanupItem, Presence};
use sandboxer_model::host::HostSnapshot;

use crate::machine::{Machine, Program};

/// Runs a program to its end and reads what it answered.
///
/// # Errors
/// The machine could not be reached, or the program said that it failed.
pub async fn ask(machine: &Machine, program: Program, stdin: Vec<u8>) -> Result<Reply, ExtensionError> {
    let output = machine.run(program, stdin).await?;
    let reply = Reply::of(&String::from_utf8_lossy(&output.stdout));
    match reply.failure() {
        Some(failure) => Err(failure),
        None => Ok(reply),
    }
}

/// One attempt to reach what must not be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// From which service.
    pub service: String,
    /// What was tried.
    pub target: String,
    /// Where it is.
    pub address: String,
    /// Whether it was reached.
    pub reached: bool,
}

/// Everything one call answered.
#[derive(Debug, Default)]
pub struct Reply {
    /// `docker` or `podman`, and the generation of the compose command.
    pub engine: Option<(String, String)>,
    /// What the host does not have: names of programs, `root`, `guard`.
    pub lacks: Vec<String>,
    /// The block that was claimed.
    pub subnet: Option<Ipv4Addr>,
    /// What the host's resolver said.
    pub names: Vec<(String, Ipv4Addr)>,
    /// Whether the host has the tree; `None` when it did not say.
    pub has_tree: Option<bool>,
    /// What the engine says of every container.
    pub inspected: Option<serde_json::Value>,
    /// What was tried from inside.
    pub probes: Vec<Probe>,
    /// Seconds left on the guard's deadline.
    pub guard: Option<u64>,
    /// Whether a guard watches.
    pub guarded: Option<bool>,
    /// Login name on the host.
    pub user: Option<String>,
    /// Facts of a probe.
    pub facts: Vec<(String, String)>,
    /// The receipt of a removal.
    pub items: Vec<CleanupItem>,
    /// How the sandbox ended by itself, in the host's words; see [`crate::outcome::ended`].
    pub ended: Option<String>,
    /// Whether its state is there.
    pub state: Option<bool>,
    /// Whether its directory is there.
    pub directory: Option<bool>,
    /// Containers that run, and all of them.
    pub containers: Option<(u64, u64)>,
    /// Lines of an inventory.
    pub things: Vec<String>,
    /// Why an inventory is not whole.
    pub partial: Option<String>,
    /// The last word was said: `ready`, `removed`, `seen` or the deadline.
    pub complete: bool,
    failed: Option<(String, String)>,
    before: String,
    after: String,
    now: String,
}

impl Reply {
    /// A whole answer, line by line.
    pub fn of(text: &str) -> Reply {
        let mut reply = Reply::default();
        for line in text.lines() {
            reply.take(line);
        }
        reply
    }

    /// Takes one line. Returns whether it was `go`: the program waits for us.
    pub fn take(&mut self, line: &str) -> bool {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        match (key, words.as_slice()) {
            ("go", _) => return true,
            ("engine", [engine, flavour]) => self.engine = Some(((*engine).to_owned(), (*flavour).to_owned())),
            ("lacks", [what]) => self.lacks.push((*what).to_owned()),
            ("subnet", [block]) => self.subnet = block.parse().ok(),
            ("name", [name, address]) => {
                if let Ok(address) = address.parse() {
                    self.names.push(((*name).to_owned(), address));
                }
            }
            ("tree", [word]) => self.has_tree = Some(*word == "have"),
            ("inspect", _) => self.inspected = serde_json::from_str(value).ok(),
            ("probe", [service, target, address, outcome]) => self.probes.push(Probe {
                service: (*service).to_owned(),
                target: (*target).to_owned(),
                address: (*address).to_owned(),
                // Anything but a plain refusal counts as reached.
                reached: *outcome != "refused",
            }),
            ("guard", ["alive"]) => self.guarded = Some(true),
            ("guard", ["dead"]) => self.guarded = Some(false),
            ("guard", [seconds]) => {
                self.guard = seconds.parse().ok();
                self.complete = true;
            }
            ("left", [seconds]) => self.guard = seconds.parse().ok(),
            ("user", [user]) => self.user = Some((*user).to_owned()),
            ("fact", [name, ..]) => {
                let rest = value.split_once(' ').map_or("", |(_, rest)| rest);
                self.facts.push(((*name).to_owned(), plain(rest)));
            }
            ("item", [kind, name, found, now, ..]) => self.items.push(CleanupItem {
                kind: (*kind).to_owned(),
                name: plain(name),
                found: *found == "true",
                now: presence(now),
                detail: plain(value.splitn(5, ' ').nth(4).unwrap_or("").trim()),
            }),
            ("ended", [how]) => self.ended = Some((*how).to_owned()),
            ("state", [word]) => self.state = Some(*word == "present"),
            ("directory", [word]) => self.directory = Some(*word == "present"),
            ("containers", [up, all]) => self.containers = up.parse().ok().zip(all.parse().ok()),
            ("before", _) => push(&mut self.before, value),
            ("after", _) => push(&mut self.after, value),
            ("now", _) => push(&mut self.now, value),
            ("partial", _) => self.partial = Some(plain(value)),
            ("ready" | "removed" | "seen", _) => self.complete = true,
            ("fail", [kind, ..]) => {
                let message = value.split_once(' ').map_or("", |(_, message)| message);
                self.failed = Some(((*kind).to_owned(), plain(message)));
            }
            _ if line.starts_with("thing|") || line.starts_with("directory|") => self.things.push(plain(line)),
            _ => {}
        }
        false
    }

    /// What the program said of its own failure; `None` when it did not fail.
    pub fn failure(&self) -> Option<ExtensionError> {
        let (kind, message) = self.failed.as_ref()?;
        let kind: ErrorKind =
            serde_json::from_value(serde_json::Value::String(kind.clone())).unwrap_or(ErrorKind::Failed);
        Some(ExtensionError::new(kind, message.clone()))
    }

    /// The host before and after.
    pub fn before_and_after(&self) -> (HostSnapshot, HostSnapshot) {
        (
            crate::snapshot::parse(&self.before),
            crate::snapshot::parse(&self.after),
        )
    }

    /// The host as a probe saw it.
    pub fn snapshot(&self) -> HostSnapshot {
        crate::snapshot::parse(&self.now)
    }
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn presence(word: &str) -> Presence {
    match word {
        "absent" => Presence::Absent,
        "present" => Presence::Present,
        _ => Presence::Unknown,
    }
}

/// Without what a terminal would act on.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(2000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_its_last_word_is_not_complete() {
        assert!(!Reply::of("engine docker v2\nsubnet 10.64.0.0").complete);
        assert!(Reply::of("item container - false absent\nremoved removed").complete);
    }

    #[test]
    fn what_is_not_understood_is_unknown_never_good() {
        let reply = Reply::of(
            "probe web public 1.2.3.4:5 what\nitem network a true gone x\nguard soon\nsubnet 300.1.1.1\nfail odd \u{1b}[31mno",
        );
        assert!(reply.probes[0].reached);
        assert_eq!(reply.items[0].now, Presence::Unknown);
        assert_eq!(reply.subnet, None);
        let failure = reply.failure().expect("failed");
        assert_eq!((failure.kind, failure.message.as_str()), (ErrorKind::Failed, "[31mno"));
    }

    #[test]
    fn a_receipt_keeps_why() {
        let reply = Reply::of("item directory /tmp/x/sbx-1 true present rm: cannot remove");
        assert_eq!(reply.items[0].detail, "rm: cannot remove");
        assert!(reply.items[0].found);
    }
}
