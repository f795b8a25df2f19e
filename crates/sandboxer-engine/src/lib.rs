//! The heart of sand-boxer: durable operations, reconcilers, routing, catalog. No HTTP, no SSH.

pub mod api;
