//! When a service counts as healthy.

use serde_json::json;

use crate::policy::fields::At;
use crate::policy::value::{self, words};

/// A health check, written as every Compose reads it; `None` also for one that says nothing.
pub(super) fn health_check(at: &At<'_>) -> Option<serde_json::Value> {
    let mut fields = at.fields()?;
    let mut check = serde_json::Map::new();
    if let Some(disable) = fields.take("disable")
        && disable.truth()?
    {
        check.insert("disable".to_owned(), json!(true));
    }
    if let Some(test) = fields.take("test") {
        let test_words = words(&test)?;
        if let Some(list) = test_words.as_array() {
            let first = list.first().and_then(|first| first.as_str());
            if !matches!(first, Some("CMD" | "CMD-SHELL" | "NONE")) {
                return test.refuse("begins with neither CMD, CMD-SHELL nor NONE");
            }
        }
        check.insert("test".to_owned(), test_words);
    }
    for key in ["interval", "timeout", "start_period"] {
        if let Some(given) = fields.take(key) {
            let ms = value::duration(&given)?;
            check.insert(key.to_owned(), json!(value::written(ms)));
        }
    }
    if let Some(retries) = fields.take("retries") {
        check.insert("retries".to_owned(), json!(retries.count()?));
    }
    fields.drop_keys(&["start_interval"], "is not used: not every host knows it");
    fields.finish();
    if check.is_empty() { None } else { Some(check.into()) }
}
