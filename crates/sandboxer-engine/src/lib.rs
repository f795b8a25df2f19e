//! The heart of sand-boxer: durable operations, reconcilers, routing, catalog. No HTTP, no SSH.

pub mod api;
mod cancel;
pub mod catalog;
mod engine;

pub use cancel::Cancel;
pub use engine::{Engine, Ports, Settings};
