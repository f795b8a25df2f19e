//! The checked-in schemas are what the types say. `SBX_WRITE_DOCS=1` writes them.

use std::path::Path;

#[test]
fn checked_in_files_are_current() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let docs = docs.join("schemas");
    let files = sandboxer_engine::schema::all()
        .into_iter()
        .map(|(name, text)| (docs.join(name), text));
    for (path, text) in files {
        if std::env::var_os("SBX_WRITE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            #[expect(clippy::disallowed_methods, reason = "writes what it would compare")]
            std::fs::write(&path, &text).unwrap();
        }
        #[expect(clippy::disallowed_methods, reason = "reads a file of this repository")]
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{} is out of date; run cargo xtask generate",
            path.display()
        );
    }
}

#[test]
fn schemas_are_the_same_each_time() {
    assert_eq!(sandboxer_engine::schema::all(), sandboxer_engine::schema::all());
}
