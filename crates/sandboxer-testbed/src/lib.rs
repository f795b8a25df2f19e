//! Real machines for tests.
//!
//! A [`Host`] is a machine as its clients see one: its own network namespace with an address, its own processes, its own
//! files (copy on write over those of this machine, in memory), an SSH server, a container engine, and whichever of the
//! Compose tools the test wants it to have. It takes about a second to come up and leaves nothing: everything it is made
//! of lives in namespaces of one process, which ends when its owner does, even by SIGKILL.
//!
//! | module | holds |
//! |---|---|
//! | [`host`] | a machine: coming up, going down, commands on it |
//! | [`plan`] | what a machine shall have |
//! | [`access`] | reaching it over SSH: keys, configuration, pinned host key |
//! | [`daemon`] | its daemons: ending and starting them |
//! | [`network`] | cutting and mending its cable; what its outside world was asked |
//! | [`disk`] | filling its disk |
//! | [`proxy`] | a way to it that is slow, or breaks after so many bytes |
//! | [`audit`] | what is on it, and what of that was not there before |
//! | [`image`] | the one container image, made of busybox |
//! | [`fixture`] | a repository with a Compose file for it |
//! | [`loopback`] | an SSH server on this machine, for any user |
//! | [`payloads`] | what must never be more than data |
//! | [`shared`] | machines that one run of all tests shares |
//! | [`skip`] | what a test does where there can be no such machine |
//! | [`time`] | times that may be promised although the machine stands still now and then |
#![expect(
    clippy::disallowed_methods,
    reason = "a test harness that stands outside of the product: it starts daemons and keeps its own time"
)]

pub mod access;
pub mod audit;
pub mod daemon;
pub mod disk;
pub mod fixture;
pub mod host;
pub mod image;
pub mod loopback;
pub mod network;
pub mod payloads;
pub mod plan;
pub mod proxy;
pub mod shared;
pub mod skip;
pub mod time;

mod command;
mod stale;
mod wait;

pub use command::Output;
pub use host::Host;
pub use network::Direction;
pub use plan::{Compose, Plan};
pub use proxy::Proxy;
pub use shared::Shared;
pub use skip::Unavailable;
pub use time::Stopwatch;
