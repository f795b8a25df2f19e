//! `ext.<name>.yaml`: read with the same reader and the same diagnostics as profiles.

use sandboxer_extension::Manifest;
use sandboxer_model::document::Diagnostic;

/// Reads the manifest of an extension. `capabilities.isolation_levels` and `capabilities.pricing_model` are required.
///
/// # Errors
/// Every problem that could be found, in the order of the text.
pub fn parse(file: &str, text: &str) -> Result<Manifest, Vec<Diagnostic>> {
    Manifest::parse(file, text)
}
