//! The simulator: seeded schedules of operations, faults and crashes over a world of backends that outlives every control
//! plane. Everything that happens follows from the seed, so a schedule that breaks a promise can be played again and made
//! smaller.
//!
//! | module | holds |
//! |---|---|
//! | [`executor`] | tasks in an order drawn from the seed; a process dies with all of its tasks |
//! | [`network`] | between engine and backend: calls that are late, lost, doubled, or answered after their caller gave up |
//! | [`schedule`] | what happens when, drawn from the seed |
//! | [`day`] | a schedule of twenty-four hours, and what it must come to |
//! | [`process`] | control planes: engines that can die at any boundary |
//! | [`watch`] | what callers were told, and what must be true because of it |
//! | [`play`] | plays one schedule to its end and says which promises it broke |
//! | [`stage`] | what a schedule is played on |
//! | [`writes`] | between engine and store: writes that are late, lost, or done and not heard of |
//! | `act` | what callers and the world do |
//! | `rest` | healing, coming to rest, the last look |
//! | [`shrink`] | the smallest part of a schedule that still breaks one |
//! | [`hunt`] | safeguards that are switched off on purpose, and the seeds that notice |

mod act;
pub mod day;
pub mod executor;
pub mod hunt;
pub mod network;
pub mod play;
pub mod process;
mod rest;
pub mod schedule;
pub mod shrink;
pub mod stage;
pub mod watch;
pub mod writes;
