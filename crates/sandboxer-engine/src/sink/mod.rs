//! Where events are sent: what is said there, and who may be told.
//!
//! | file | does |
//! |---|---|
//! | `hub` | an event as a progress entry of the State Hub |
//! | `webhook` | an event as a signed message |
//! | `manage` | adding, removing, testing sinks; bringing back what was given up |

pub(crate) mod hub;
mod manage;
pub(crate) mod webhook;
