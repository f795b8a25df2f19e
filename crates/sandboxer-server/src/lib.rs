//! The HTTP API over an engine.
