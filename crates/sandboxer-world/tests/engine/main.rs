//! The engine against a world that survives it: every operation, every step, every way to go wrong.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic")]

mod checker;
mod crash;
mod drift;
mod fail;
mod hosts;
mod idempotent;
mod lab;
mod oddities;
mod owners;
mod races;
mod reconcile;
mod repeat;
mod scopes;
mod tenants;
mod viewers;
mod witness;
mod writes;
