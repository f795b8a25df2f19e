//! JSON Schemas for editors and for those who read our output. Generated, checked in under `docs/schemas/`.

use schemars::{JsonSchema, SchemaGenerator};

use crate::cleanup::CleanupReport;
use crate::document::Diagnostic;
use crate::error::UserError;
use crate::event::Event;
use crate::profile::Profile;
use crate::sandbox::Sandbox;

/// File name and text of the schema of each type of this crate that people write or read.
pub fn all() -> Vec<(&'static str, String)> {
    vec![
        ("cleanup-report.schema.json", of::<CleanupReport>()),
        ("diagnostic.schema.json", of::<Diagnostic>()),
        ("event.schema.json", of::<Event>()),
        ("profile.schema.json", of::<Profile>()),
        ("sandbox.schema.json", of::<Sandbox>()),
        ("user-error.schema.json", of::<UserError>()),
    ]
}

/// The JSON Schema of a type, the same text each time.
pub fn of<T: JsonSchema>() -> String {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>();
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
