//! The trials, by topic.

pub mod exec;
pub mod facts;
pub mod fencing;
pub mod guard;
pub mod lifecycle;
pub mod limits;
pub mod logs;
pub mod network;
pub mod refusal;
pub mod workspace;

use crate::trial::Trial;

/// Every trial there is.
pub const ALL: &[&[Trial]] = &[
    lifecycle::TRIALS,
    fencing::TRIALS,
    refusal::TRIALS,
    network::TRIALS,
    limits::TRIALS,
    facts::TRIALS,
    exec::TRIALS,
    logs::TRIALS,
    workspace::TRIALS,
    guard::TRIALS,
];
