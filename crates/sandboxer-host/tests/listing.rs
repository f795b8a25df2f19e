//! The list of directories that a host tells of, while directories come and go.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start programs")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use sandboxer_host::shell;

/// What is said of the directories below here, where `stat` does this before it looks.
fn list(base: &Path, before_stat: &str) -> Vec<String> {
    let programs = tempfile::tempdir().expect("a directory");
    let stat = programs.path().join("stat");
    let script = format!("#!/bin/sh\n{before_stat}\nPATH=/usr/bin:/bin exec stat \"$@\"\n");
    std::fs::write(&stat, script).expect("a program");
    std::fs::set_permissions(&stat, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let parts = [shell::BASE, shell::VERBS, "say_directories \"$BASE\"/*\nsay seen\n"];
    let output = Command::new("sh")
        .arg("-c")
        .arg(shell::join(&parts))
        .args(["sh", "inventory"])
        .arg(base)
        .args(["nobody", "inst", "1", "none"])
        .env("PATH", format!("{}:/usr/bin:/bin", programs.path().display()))
        .output()
        .expect("a shell");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

fn base() -> tempfile::TempDir {
    let base = tempfile::tempdir().expect("a directory");
    for name in ["sbx-a", "sbx-goes", "sbx-z", ".sbx/sbx-z"] {
        std::fs::create_dir_all(base.path().join(name)).expect("a directory");
    }
    std::fs::write(base.path().join(".sbx/sbx-z/epoch"), "3\n").expect("a file");
    base
}

/// The paths a list names.
fn paths(lines: &[String]) -> Vec<&str> {
    let directories = lines.iter().filter(|line| line.starts_with("directory|"));
    directories.filter_map(|line| line.rsplit('/').next()).collect()
}

#[test]
fn a_directory_that_goes_while_it_is_looked_at_hides_no_other() {
    let base = base();
    let lines = list(base.path(), "case $3 in */sbx-goes) rmdir \"$3\" ;; esac");
    assert_eq!(paths(&lines), ["sbx-a", "sbx-z", "sbx-z"], "{lines:#?}");
    assert_eq!(lines.last().map(String::as_str), Some("seen"), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.starts_with("partial")), "{lines:#?}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("directory|sbx-z|") && line.contains("||3|")),
        "{lines:#?}"
    );
}

#[test]
fn a_directory_that_cannot_be_looked_at_makes_a_list_that_is_not_whole() {
    let base = base();
    let lines = list(base.path(), "case $3 in */sbx-goes) exit 1 ;; esac");
    assert_eq!(paths(&lines), ["sbx-a", "sbx-z", "sbx-z"], "{lines:#?}");
    let partial: Vec<_> = lines.iter().filter(|line| line.starts_with("partial ")).collect();
    assert!(
        matches!(partial.as_slice(), [one] if one.ends_with("/sbx-goes")),
        "{lines:#?}"
    );
    assert_eq!(lines.last().map(String::as_str), Some("seen"), "{lines:#?}");
}
