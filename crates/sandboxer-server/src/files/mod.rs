//! Files of workspaces, on their way between HTTP and a sandbox.
//!
//! | file | does |
//! |---|---|
//! | `outgoing` | what a process inside prints, as the body of an answer |
//! | `incoming` | the body of a request, as what a process inside reads |
//! | `listing` | what is in a directory |

pub(crate) mod incoming;
pub(crate) mod listing;
pub(crate) mod outgoing;
