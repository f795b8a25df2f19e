//! The profiles of this installation, and what a create may pass in to them.
//!
//! | module | holds |
//! |---|---|
//! | `find` | [`Catalog`]: finding one profile by name, listing all |
//! | `layer` | where profiles are looked for, nearest first |
//! | `shipped` | the profiles inside the binary |
//! | `file` | the bounded reading of files: the only place here that touches the file system |
//! | [`inputs`] | inputs of a create against the profile |
//! | [`manifest`] | `ext.<name>.yaml` |

mod file;
mod find;
pub mod inputs;
mod layer;
pub mod manifest;
mod report;
mod shipped;

pub use find::{Catalog, Listed, Resolved};
pub use layer::{Layer, Layers};
pub use report::invalid;
