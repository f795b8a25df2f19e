//! ext.compose-ssh: the Compose stack of a repository on a machine reached over SSH, or on this one.
//!
//! | module | holds |
//! |---|---|
//! | [`policy`] | the stranger's Compose file, read into what is harmless and written anew; containers compared with it |
//! | `config` | the manifest, and what a profile means to this backend |
//! | `network` | addresses, and the wall around them |
//! | `program` | the program that runs on the host |
//! | `provision`, `plan`, `report` | making a sandbox over one connection; what was decided; how that is told |
//! | `podman` | what podman-compose does not pass on |
//! | `session`, `environment`, `ending` | commands inside; their variables; how they ended |
//! | `inventory` | what is on a host |
//! | `extension` | the contract over all of it |

mod config;
mod ending;
mod environment;
mod extension;
mod inventory;
mod network;
mod plan;
mod podman;
pub mod policy;
mod program;
mod provision;
mod report;
mod session;

pub use extension::{ComposeSshExtension, Settings};
