//! Compose
