//! Reaching a machine: running commands on it, moving trees to it, and knowing its processes.
//!
//! | module | holds |
//! |---|---|
//! | [`machine`] | a machine that programs run on: this one, or another over SSH |
//! | [`shell`] | the programs that run there: fencing, the guard, receiving trees |
//! | [`reply`] | reading what those programs answer |
//! | [`outcome`] | what an answer proves: a removal, a moved deadline, how it ended |
//! | [`tree`] | a repository as it travels: ignore files, links, digest, archive |
//! | [`mod@quote`] | the one function that makes a shell word of any bytes |
//! | [`snapshot`] | reading what a host says of itself |
//! | [`tunnel`] | tunnels that somebody else keeps up: found by name, looked at |
//! | [`process_table`] | who is alive on this machine: owners of leases, by boot, process id and start time |
//! | [`local_exec`] | commands on this machine, with a deadline that holds for everything they start |

pub mod local_exec;
pub mod machine;
pub mod outcome;
pub mod process_table;
pub mod quote;
pub mod reply;
pub mod shell;
pub mod snapshot;
pub mod tree;
pub mod tunnel;

pub use local_exec::LocalExec;
pub use machine::{Machine, MachineError, Program, SshSettings};
pub use process_table::ProcessTable;
