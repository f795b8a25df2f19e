//! Pure data and rules of sand-boxer. No I/O, no clock, no randomness: everything here can be tested as a table.
//!
//! | module | holds |
//! |---|---|
//! | [`id`] | typed ids |
//! | [`duration`] | durations as people write them (`4h`) |
//! | [`document`] | reading YAML people write, with every problem located |
//! | [`profile`] | the recipe of a sandbox, with every default |
//! | [`sandbox`] | the public record of one sandbox, its attribution and scope |
//! | [`lifecycle`] | states, allowed moves, reasons for an end |
//! | [`host`] | naming a machine, and what was measured on it |
//! | [`registry`] | registered hosts: capacity, reservations, what was last seen |
//! | [`isolation`] | how isolation is enforced, limit by limit |
//! | [`reachability`] | how a sandbox is reached |
//! | [`cleanup`] | what a teardown found, removed and verified |
//! | [`route`] | candidates, and why each was taken or not |
//! | [`operation`] | durable multi-step jobs |
//! | [`event`] | what happened, in order |
//! | [`sink`] | where events are sent |
//! | [`money`] | micro-units, quotes and meters |
//! | [`schema`], [`mod@reference`] | JSON Schemas and reference pages made from the types |
//! | [`error`] | error codes, exit codes and the one error shape users see |

pub mod cleanup;
pub mod document;
pub mod duration;
pub mod error;
pub mod event;
pub mod host;
pub mod id;
pub mod isolation;
pub mod lifecycle;
pub mod money;
pub mod operation;
pub mod profile;
pub mod reachability;
pub mod reference;
pub mod registry;
pub mod route;
pub mod sandbox;
pub mod schema;
pub mod sink;
