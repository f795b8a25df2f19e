//! Lists in pages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Items of a page when the caller does not say.
pub const DEFAULT_LIMIT: u32 = 100;
/// Items of a page at most.
pub const MOST: u32 = 200;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What to send as `cursor` for the next page; null: this was the last.
    pub next_cursor: Option<String>,
}
