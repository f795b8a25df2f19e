//! A world of backends for tests: what exists, time, ids and owners, all under the test's control.
//!
//! The world lives outside the engine, so it survives every "crash" of a control plane: drop the engine, keep the world,
//! start another engine on the same store, and see whether the two agree again.
//!
//! | module | holds |
//! |---|---|
//! | [`world`] | what exists, what happened to it, and the faults that wait |
//! | [`fake`] | an extension over the world |
//! | [`hosts`] | machines that sandboxes are put on |
//! | [`fault`] | what can go wrong, and when |
//! | [`mutant`] | deliberately broken behaviours, to show that suites can fail |
//! | [`receivers`] | who events are sent to, and how they misbehave |
//! | [`process`] | commands inside a fake sandbox |
//! | [`clock`], [`ids`], [`owners`] | ports under the test's control |
//! | [`invariant`] | what must hold once everything has come to rest |

pub mod clock;
mod effects;
pub mod fake;
pub mod fault;
pub mod hosts;
pub mod ids;
pub mod invariant;
pub mod mutant;
pub mod owners;
mod policy;
pub mod process;
pub mod receivers;
pub mod world;

pub use clock::TestClock;
pub use fake::{FakeExtension, capable};
pub use fault::{CallName, Fault, Gate, When};
pub use hosts::{Reach, hosted};
pub use ids::TestIds;
pub use invariant::{Books, Epochs, violations};
pub use mutant::Mutant;
pub use owners::TestOwners;
pub use receivers::{Manner, Received, Receivers, wrong_histories};
pub use world::{Effect, EffectKind, Resource, World};
