//! The heart of sand-boxer: durable operations, reconcilers, routing, catalog. No HTTP, no SSH.
//!
//! | module | holds |
//! |---|---|
//! | [`api`] | what callers pass in and get back |
//! | `engine` | the façade: one method per thing a caller can ask for |
//! | [`operation`] | durable operations: one file per verb, each with its table of steps |
//! | `callers` | what a server asks for beside sandboxes: keys, projects, the audit log, answered requests |
//! | `prepare` | everything a create refuses before a backend is asked; also the dry run |
//! | `route` | which backend, and why the others lost |
//! | `host` | registered hosts, looking at them, what is left over there |
//! | `reconcile` | recovery of what dead processes left, comparison with the world |
//! | `drift` | where what is stored and what is true differ, and what to do about it |
//! | `lifetime` | what time it is for a sandbox, whatever the calendar says |
//! | `sink` | where events are sent: what is said there, and who may be told |
//! | `query` | reading: get, list, wait, explain, labels, events |
//! | [`catalog`] | profiles and manifests in layers |
//! | [`schema`] | JSON Schemas of what is shown |
//! | [`faults`] | where tests can make a step fail or repeat |
//! | `error` | errors of backends, as users see them |

pub mod api;
mod callers;
pub mod cancel;
pub mod catalog;
mod drift;
mod engine;
mod error;
pub mod faults;
mod host;
mod lifetime;
pub mod operation;
mod prepare;
mod query;
mod reconcile;
mod route;
pub mod schema;
mod sink;

pub use cancel::Cancel;
pub use engine::{Engine, Ports, Settings, Timeouts};
pub use error::user_error;
pub use query::files;
pub use reconcile::{Effort, Reconciler, reconcilers, truth_table};
