//! The API document is checked in.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by it, and writes the document when it is told to"
)]

use std::path::Path;

use sandboxer_server::{openapi, routes};

/// `SBX_WRITE_DOCS=1` writes it, otherwise it must be up to date.
#[test]
fn the_checked_in_document_is_that_of_the_routes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let text = openapi::text(&routes::all());
    if std::env::var_os("SBX_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        present == text,
        "docs/openapi.json is not up to date: run `cargo xtask generate`"
    );
}
