//! Who may call, what projects may use, who did what, and which requests were answered: what a server asks for beside
//! sandboxes.
//!
//! | file | does |
//! |---|---|
//! | `keys` | keys of callers: make, replace, revoke, and who it is that has one |
//! | `token` | what a caller sends to be known |
//! | `projects` | what projects may use |
//! | `log` | the audit log |
//! | `requests` | requests that were begun and answered |

mod keys;
mod log;
mod projects;
mod requests;
mod token;
