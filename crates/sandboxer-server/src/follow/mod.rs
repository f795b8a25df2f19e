//! Events as they happen, for everybody who may see them.
//!
//! | file | does |
//! |---|---|
//! | `hub` | one look at the store for all who follow: wakes those whom something concerns |
//! | `room` | how many may follow, and whose key is still good |
//! | `stream` | one who follows: what is sent, from which position on |
//! | `frame` | an event as `text/event-stream` has it |

mod frame;
pub(crate) mod hub;
mod room;
pub(crate) mod stream;
