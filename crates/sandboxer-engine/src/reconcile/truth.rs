//! What a sandbox is, given what is stored and what was seen: the one place where that is decided.
//!
//! The rules are tried from top to bottom, and the first that fits holds. `docs/reconcilers.md` shows them as a table, and a
//! test walks every combination of facts.

use sandboxer_extension::{Ended, Observation};
use sandboxer_model::cleanup::Presence;
use sandboxer_model::lifecycle::{Reason, State};

/// What is known of the host a sandbox is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostFact {
    /// It answers, or there is none between us and the backend.
    Answers,
    /// It does not answer: it may be away, and may come back.
    Silent,
    /// An operator said that it is gone for good.
    Lost,
}

/// Everything a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The state on record.
    pub(crate) stored: State,
    /// What is known of its host.
    pub(crate) host: HostFact,
    /// Whether its stored deadline passed.
    pub(crate) past_deadline: bool,
    /// How it ended, if the backend wrote that down.
    pub(crate) ended: Option<Ended>,
    /// Whether anything of it exists.
    pub(crate) presence: Presence,
    /// Whether it can be used.
    pub(crate) usable: Option<bool>,
}

impl Evidence {
    /// What one look at a backend says, beside what is stored.
    pub(crate) fn new(stored: State, past_deadline: bool, seen: &Observation) -> Evidence {
        Evidence {
            stored,
            host: HostFact::Answers,
            past_deadline,
            ended: seen.ended,
            presence: seen.presence,
            usable: seen.usable,
        }
    }
}

/// What is to be done about a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The record stands.
    AsStored,
    /// The record stands, and this look proves that it lives.
    Alive,
    /// Its time passed: it is removed, with proof.
    Expire,
    /// It ended by itself: once a second look agrees, what is left is removed and the record says why.
    Lose,
    /// Its host is gone for good: nothing can be proven or removed any more.
    GiveUp,
}

impl Verdict {
    /// The state it leads to and the reason, where it changes them.
    pub(crate) fn outcome(self) -> Option<(State, Reason)> {
        match self {
            Verdict::AsStored | Verdict::Alive => None,
            Verdict::Expire => Some((State::Destroyed, Reason::Ttl)),
            Verdict::Lose => Some((State::Failed, Reason::ProviderLost)),
            Verdict::GiveUp => Some((State::Failed, Reason::HostLost)),
        }
    }
}

/// One rule: what is `None`, or an empty list, fits anything.
struct Rule {
    stored: &'static [State],
    host: Option<HostFact>,
    past_deadline: Option<bool>,
    ended: &'static [Option<Ended>],
    presence: Option<Presence>,
    usable: Option<Option<bool>>,
    verdict: Verdict,
    why: &'static str,
}

const ANY: Rule = Rule {
    stored: &[],
    host: None,
    past_deadline: None,
    ended: &[],
    presence: None,
    usable: None,
    verdict: Verdict::AsStored,
    why: "",
};
/// It ended, and the backend knows how.
const BY_ITSELF: &[Option<Ended>] = &[Some(Ended::Killed), Some(Ended::OutOfMemory), Some(Ended::OutOfDisk)];

const RULES: &[Rule] = &[
    Rule {
        stored: &[State::Destroyed],
        why: "absence was proven; what shows up later is for the sweep of leftovers",
        ..ANY
    },
    Rule {
        stored: &[State::Failed],
        why: "it ended before; what is left of it is for the sweep of leftovers",
        ..ANY
    },
    Rule {
        host: Some(HostFact::Lost),
        verdict: Verdict::GiveUp,
        why: "an operator said that its host is gone for good",
        ..ANY
    },
    Rule {
        stored: &[State::Requested, State::Provisioning, State::Expired, State::Destroying],
        why: "an operation is at work on it, and says what comes of it",
        ..ANY
    },
    Rule {
        host: Some(HostFact::Silent),
        past_deadline: Some(true),
        verdict: Verdict::Expire,
        why: "its time passed; the removal waits for proof",
        ..ANY
    },
    Rule {
        host: Some(HostFact::Silent),
        why: "a host that does not answer says nothing about what is on it",
        ..ANY
    },
    Rule {
        ended: &[Some(Ended::Deadline)],
        verdict: Verdict::Expire,
        why: "its guard ended it when its time passed",
        ..ANY
    },
    Rule {
        past_deadline: Some(true),
        verdict: Verdict::Expire,
        why: "its time passed, whatever else is known",
        ..ANY
    },
    Rule {
        ended: BY_ITSELF,
        verdict: Verdict::Lose,
        why: "the backend wrote down how it ended",
        ..ANY
    },
    Rule {
        presence: Some(Presence::Absent),
        verdict: Verdict::Lose,
        why: "it is gone before its time, and nobody asked for that",
        ..ANY
    },
    Rule {
        presence: Some(Presence::Present),
        usable: Some(Some(false)),
        verdict: Verdict::Lose,
        why: "what is left of it cannot be used",
        ..ANY
    },
    Rule {
        presence: Some(Presence::Present),
        verdict: Verdict::Alive,
        why: "it is there",
        ..ANY
    },
    Rule {
        why: "it cannot be told, and an error is never absence",
        ..ANY
    },
];

impl Rule {
    fn fits(&self, facts: &Evidence) -> bool {
        (self.stored.is_empty() || self.stored.contains(&facts.stored))
            && self.host.is_none_or(|host| host == facts.host)
            && self.past_deadline.is_none_or(|past| past == facts.past_deadline)
            && (self.ended.is_empty() || self.ended.contains(&facts.ended))
            && self.presence.is_none_or(|presence| presence == facts.presence)
            && self.usable.is_none_or(|usable| usable == facts.usable)
    }
}

/// What is to be done about a sandbox of which this is known.
pub(crate) fn decide(facts: &Evidence) -> Verdict {
    // The last rule fits everything.
    RULES
        .iter()
        .find(|rule| rule.fits(facts))
        .map_or(Verdict::AsStored, |rule| rule.verdict)
}

/// The rules as a Markdown table, for `docs/reconcilers.md`.
pub fn table() -> String {
    let mut text = String::from(
        "| | stored | host | deadline passed | ended by itself | exists | usable | becomes | reason | because |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (index, rule) in RULES.iter().enumerate() {
        let any = || "any".to_owned();
        let list = |names: Vec<String>| if names.is_empty() { any() } else { names.join(", ") };
        let stored = list(rule.stored.iter().map(|state| format!("`{state}`")).collect());
        let host = rule.host.map_or_else(any, |host| {
            match host {
                HostFact::Answers => "answers",
                HostFact::Silent => "silent",
                HostFact::Lost => "gone for good",
            }
            .to_owned()
        });
        let yes_no = |value: bool| if value { "yes" } else { "no" }.to_owned();
        let ended = list(rule.ended.iter().map(|ended| ended_name(*ended).to_owned()).collect());
        let exists = rule
            .presence
            .map_or_else(any, |presence| format!("{presence:?}").to_lowercase());
        let usable = rule
            .usable
            .map_or_else(any, |usable| usable.map_or_else(|| "unknown".to_owned(), yes_no));
        let (becomes, reason) = match (rule.verdict.outcome(), rule.verdict) {
            (Some((state, reason)), _) => (format!("`{state}`"), format!("`{reason}`")),
            (None, Verdict::Alive) => ("as stored, seen alive".to_owned(), "–".to_owned()),
            (None, _) => ("as stored".to_owned(), "–".to_owned()),
        };
        text.push_str(&format!(
            "| {} | {stored} | {host} | {} | {ended} | {exists} | {usable} | {becomes} | {reason} | {} |\n",
            index + 1,
            rule.past_deadline.map_or_else(any, yes_no),
            rule.why,
        ));
    }
    text
}

fn ended_name(ended: Option<Ended>) -> &'static str {
    match ended {
        None => "no",
        Some(Ended::Deadline) => "deadline",
        Some(Ended::Killed) => "killed",
        Some(Ended::OutOfMemory) => "out of memory",
        Some(Ended::OutOfDisk) => "out of disk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDED: [Option<Ended>; 5] = [
        None,
        Some(Ended::Deadline),
        Some(Ended::Killed),
        Some(Ended::OutOfMemory),
        Some(Ended::OutOfDisk),
    ];

    fn every_cell() -> Vec<Evidence> {
        let mut cells = Vec::new();
        for stored in State::ALL {
            for host in [HostFact::Answers, HostFact::Silent, HostFact::Lost] {
                for past_deadline in [false, true] {
                    for ended in ENDED {
                        for presence in [Presence::Present, Presence::Absent, Presence::Unknown] {
                            for usable in [None, Some(false), Some(true)] {
                                cells.push(Evidence {
                                    stored,
                                    host,
                                    past_deadline,
                                    ended,
                                    presence,
                                    usable,
                                });
                            }
                        }
                    }
                }
            }
        }
        cells
    }

    #[test]
    fn every_cell_is_decided_and_no_promise_is_broken_by_any() {
        let cells = every_cell();
        assert_eq!(cells.len(), 2160);
        for cell in cells {
            let verdict = decide(&cell);
            let at_end = matches!(cell.stored, State::Destroyed | State::Failed);
            let usable = cell.stored.is_usable();
            // What ended stays ended, and an operation that is under way is not talked into.
            if at_end {
                assert_eq!(verdict, Verdict::AsStored, "{cell:?}");
            }
            if !usable && verdict != Verdict::AsStored {
                assert_eq!((verdict, cell.host), (Verdict::GiveUp, HostFact::Lost), "{cell:?}");
            }
            // Only a word of an operator gives a host up.
            assert_eq!(
                verdict == Verdict::GiveUp,
                !at_end && cell.host == HostFact::Lost,
                "{cell:?}"
            );
            // Nothing that is not known to have ended is ended before its time.
            if verdict == Verdict::Expire {
                assert!(cell.past_deadline || cell.ended == Some(Ended::Deadline), "{cell:?}");
            }
            // The unknown, and a host that is silent, never lose anything; nor is any of it called alive.
            let unknown = cell.presence == Presence::Unknown && cell.ended.is_none();
            if unknown || cell.host == HostFact::Silent {
                assert!(!matches!(verdict, Verdict::Lose | Verdict::Alive), "{cell:?}");
            }
            // A deadline that passed is never ignored while it can be used.
            if usable && cell.past_deadline && cell.host != HostFact::Lost {
                assert_eq!(verdict, Verdict::Expire, "{cell:?}");
            }
            // Each move is legal.
            if let Some((state, _)) = verdict.outcome()
                && state == State::Failed
            {
                assert!(
                    cell.stored.may_become(state) || cell.stored == State::Expired,
                    "{cell:?}"
                );
            }
        }
    }

    #[test]
    fn each_rule_decides_something() {
        let mut used = vec![false; RULES.len()];
        for cell in every_cell() {
            if let Some(index) = RULES.iter().position(|rule| rule.fits(&cell)) {
                used[index] = true;
            }
        }
        assert_eq!(used.iter().position(|used| !used), None);
    }

    #[test]
    fn the_documentation_shows_these_rules() {
        let page = include_str!("../../../../docs/reconcilers.md");
        assert!(
            page.contains(&table()),
            "docs/reconcilers.md does not hold:\n{}",
            table()
        );
    }
}
