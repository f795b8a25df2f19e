//! Reaching a machine: running commands on it and knowing its processes.
//!
//! | module | holds |
//! |---|---|
//! | [`process_table`] | who is alive on this machine: owners of leases, by boot, process id and start time |
//! | [`local_exec`] | commands on this machine, with a deadline that holds for everything they start |

pub mod local_exec;
pub mod process_table;

pub use local_exec::LocalExec;
pub use process_table::ProcessTable;
