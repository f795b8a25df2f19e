//! What is printed: data on standard output, words for people on standard error.

pub(crate) mod color;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod progress;
pub(crate) mod sandbox;
pub(crate) mod shown;
pub(crate) mod table;
pub(crate) mod telemetry;
pub(crate) mod timings;
