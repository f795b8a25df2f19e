//! `ext.native`: the native runtime as an extension. The runtime itself is the crate `sandboxer-native`; this one
//! translates between it and the contract.

mod config;
mod extension;
mod session;

pub use extension::{NativeExtension, Settings};
pub use sandboxer_native::{Spare, doctor, internal_entry};
