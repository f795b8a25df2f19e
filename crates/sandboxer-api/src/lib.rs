//! What callers of sand-boxer say and hear: the vocabulary that engine, server and clients share. Pure data.
//!
//! | module | holds |
//! |---|---|
//! | [`answer`] | what the operations on sandboxes come to |
//! | [`audit`] | rows of the audit log |
//! | [`catalog`] | the profiles there are |
//! | [`drift`] | where what is stored and what is true differ |
//! | [`hosts`] | registered hosts and what is left over on them |
//! | [`identity`] | who may do what: roles, grants, keys, projects |
//! | [`page`] | lists in pages |
//! | [`problem`] | errors as HTTP says them |
//! | [`request`] | bodies of requests about sandboxes |
//! | [`sinks`] | where events are sent |
//! | [`status`] | reconcilers and how the whole stands |
//! | [`stream`] | commands inside, over a WebSocket |

pub mod answer;
pub mod audit;
pub mod catalog;
pub mod drift;
pub mod hosts;
pub mod identity;
mod object;
pub mod page;
pub mod problem;
pub mod request;
pub mod sinks;
pub mod status;
pub mod stream;
