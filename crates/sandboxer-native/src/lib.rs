//! The native Linux runtime: a sandbox from kernel features alone, in milliseconds, without a daemon or an image.
//!
//! Two processes per sandbox. The *keeper* (module `shim`) runs on the host and cleans up after the sandbox; *pid 1*
//! (module `init`) runs inside, starts commands and keeps the deadline. Both outlive whoever asked for the
//! sandbox, and each does its part when the other is dead.
//!
//! | module | owns |
//! |---|---|
//! | [`runtime`] | what callers use: launch, exec, deadline, observe, destroy |
//! | `shim` | making a sandbox and keeping it |
//! | `init` | building the root, sealing, serving commands |
//! | `reap` | removal with proof, from any half-done state |
//! | `fence` | highest epoch seen per sandbox |
//! | `cgroup`, `idmap`, `seccomp` | the kernel's own mechanisms |
//! | [`doctor`] | what this machine can enforce |
//! | `sys` | all `unsafe` |

#[cfg(not(target_os = "linux"))]
compile_error!("the native runtime needs Linux");

mod cgroup;
pub mod doctor;
pub mod error;
mod exec_wire;
mod fence;
mod files;
mod identity;
mod idmap;
mod init;
mod layout;
mod lock;
mod reap;
mod remove;
pub mod runtime;
mod seccomp;
mod shim;
mod socket;
pub mod spec;
mod sys;
mod watchdog;
mod weaken;
mod wire;

pub use error::{Kind, NativeError};
pub use runtime::{Runtime, Spare};

/// First thing in `main`: becomes a keeper when started as one. `Some` is the exit code.
pub fn internal_entry() -> Option<i32> {
    (std::env::args_os().nth(1)? == runtime::SHIM_ARGUMENT).then(shim::main)
}
