//! ext.vm-packer: a workspace on a virtual machine that runs already, or an image built with Packer.
//!
//! | module | holds |
//! |---|---|
//! | `config` | the manifest, and what a profile means to this backend |
//! | `attach` | workspaces on machines |
//! | `build` | Packer on this machine |
//! | `session` | commands in a workspace |
//! | `extension` | the contract over both |

mod attach;
mod build;
mod config;
mod extension;
mod session;

pub use extension::{Settings, VmPackerExtension};
