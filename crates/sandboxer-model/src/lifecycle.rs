//! The lifecycle of a sandbox as a table: which state may follow which, and why a sandbox ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a sandbox is in its life. Backends report facts; only the engine moves the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted and stored; nothing was asked of a backend yet.
    Requested,
    /// A backend is being asked to make it.
    Provisioning,
    /// The reachability probe succeeded. Says nothing about the health of the workload.
    Ready,
    /// A consumer used it (first exec or attach).
    Active,
    /// Its time to live or idle limit passed.
    Expired,
    /// It could not be made, or it was lost.
    Failed,
    /// Teardown is under way, or stuck with a visible reason.
    Destroying,
    /// Its absence was proven. The record stays.
    Destroyed,
}

/// Every allowed move, as `(from, to)`. A move that is not listed is a bug and is refused by the store.
pub const TRANSITIONS: &[(State, State)] = &[
    (State::Requested, State::Provisioning),
    (State::Requested, State::Failed),
    (State::Requested, State::Destroying),
    (State::Provisioning, State::Ready),
    (State::Provisioning, State::Failed),
    (State::Provisioning, State::Destroying),
    (State::Ready, State::Active),
    (State::Ready, State::Expired),
    (State::Ready, State::Failed),
    (State::Ready, State::Destroying),
    (State::Active, State::Expired),
    (State::Active, State::Failed),
    (State::Active, State::Destroying),
    (State::Expired, State::Destroying),
    (State::Failed, State::Destroying),
    (State::Destroying, State::Destroyed),
    // Its host was given up for good, so that absence can never be proven.
    (State::Destroying, State::Failed),
    // `recreate` tears down and provisions again from the frozen profile, keeping the id.
    (State::Destroying, State::Provisioning),
    (State::Destroyed, State::Provisioning),
];

impl State {
    /// All states, in the order of a life.
    pub const ALL: [State; 8] = [
        State::Requested,
        State::Provisioning,
        State::Ready,
        State::Active,
        State::Expired,
        State::Failed,
        State::Destroying,
        State::Destroyed,
    ];

    /// The name used in JSON, the store and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            State::Requested => "requested",
            State::Provisioning => "provisioning",
            State::Ready => "ready",
            State::Active => "active",
            State::Expired => "expired",
            State::Failed => "failed",
            State::Destroying => "destroying",
            State::Destroyed => "destroyed",
        }
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether `next` may follow this state.
    pub fn may_become(self, next: State) -> bool {
        TRANSITIONS.contains(&(self, next))
    }

    /// Whether a command can be run inside.
    pub fn is_usable(self) -> bool {
        matches!(self, State::Ready | State::Active)
    }

    /// Whether backend resources may still exist, as far as the record knows.
    /// A failed sandbox counts as gone only once its teardown was proven, which makes it `Destroyed`.
    pub fn is_gone(self) -> bool {
        self == State::Destroyed
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Why a sandbox left life: a closed list, present on every sandbox that ended (promise P13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Somebody asked for it.
    DestroyedByRequest,
    /// The time to live passed.
    Ttl,
    /// The idle limit passed.
    Idle,
    /// A spending limit was reached.
    Budget,
    /// A step of its creation failed; the failure names the step.
    FailedAtStep,
    /// The caller went away before it was told the id, so the creation was undone.
    Interrupted,
    /// The one-shot `run` ended.
    RunFinished,
    /// The host it ran on is gone.
    HostLost,
    /// The backend no longer has it although nobody asked for its end.
    ProviderLost,
    /// What came up did not match what was asked for.
    Policy,
}

impl Reason {
    /// The name used in JSON and the store.
    pub fn name(self) -> &'static str {
        match self {
            Reason::DestroyedByRequest => "destroyed_by_request",
            Reason::Ttl => "ttl",
            Reason::Idle => "idle",
            Reason::Budget => "budget",
            Reason::FailedAtStep => "failed_at_step",
            Reason::Interrupted => "interrupted",
            Reason::RunFinished => "run_finished",
            Reason::HostLost => "host_lost",
            Reason::ProviderLost => "provider_lost",
            Reason::Policy => "policy",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destroy_is_legal_from_every_state_that_is_not_gone() {
        for state in State::ALL {
            let legal = state.may_become(State::Destroying);
            assert_eq!(legal, !matches!(state, State::Destroying | State::Destroyed), "{state}");
        }
    }

    #[test]
    fn only_a_teardown_says_destroyed() {
        for state in State::ALL {
            assert_eq!(
                state.may_become(State::Destroyed),
                state == State::Destroying,
                "{state}"
            );
        }
    }

    #[test]
    fn names_round_trip() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.name()), Some(state));
        }
    }
}
