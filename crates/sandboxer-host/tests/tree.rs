//! What of a tree travels: as its rules say, read without following or waiting for anything, and no link out of it.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests make trees")]

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use sandboxer_host::tree::{Limits, Tree, TreeError};
use sandboxer_testbed::time::worked;

fn file(root: &Path, path: &str, text: &str) {
    let file = root.join(path);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(file, text).expect("a file");
}

fn paths(tree: &Tree) -> BTreeSet<String> {
    let mut bytes = Vec::new();
    tree.write(&mut bytes).expect("an archive");
    let mut archive = tar::Archive::new(bytes.as_slice());
    let entries = archive.entries().expect("entries");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            path.trim_end_matches('/').to_owned()
        })
        .collect()
}

fn scan(root: &Path) -> Result<BTreeSet<String>, TreeError> {
    Tree::scan(root, Limits::default()).map(|tree| paths(&tree))
}

#[test]
fn rules_mean_what_they_mean_to_everybody_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path();
    let rules = [
        "target\n*.log\n!keep.log\n",
        "/a\n**/b.d/**/*.c\n!**/x.c.d/*\n# a comment\n\\#odd\n",
        "\u{feff}x*\n!/d\nsub/**/deep/\n",
        "*\n!*.c\n!*/\n",
        "[broken\na/b\ntrailing \\ \n  \n",
    ];
    let names = [
        "a", "b", "d", "x1", "keep.log", "no.log", "x.c", "y.c", "#odd", ".hidden", ".env", "target",
    ];
    // Every kind of rules at every depth, by turns.
    for (one, outer) in ["", "sub/", "sub/deep/", "e/b.x/", "g/x/"].into_iter().enumerate() {
        for (two, name) in names.into_iter().enumerate() {
            file(root, &format!("{outer}{name}"), name);
            file(root, &format!("{outer}in_{name}/{name}"), name);
            file(root, &format!("{outer}b.d/{name}.d/y.c"), name);
            let kind = [".gitignore", ".ignore", ".sandboxerignore"][(one + two) % 3];
            if two % 2 == 0 {
                let text = rules[(one * 3 + two) % rules.len()];
                file(root, &format!("{outer}{kind}"), text);
                file(root, &format!("{outer}in_{name}/{kind}"), text);
            }
        }
    }
    file(root, ".git/config", "no");
    file(root, "sub/.git/config", "no");
    let mut builder = ignore::WalkBuilder::new(root);
    builder
        .hidden(false)
        .parents(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .add_custom_ignore_filename(".sandboxerignore")
        .filter_entry(|entry| entry.file_name() != ".git");
    let expected: BTreeSet<String> = builder
        .build()
        .map(|entry| entry.expect("an entry").into_path())
        .map(|path| path.strip_prefix(root).expect("beneath").display().to_string())
        .filter(|path| !path.is_empty())
        .collect();
    assert!(expected.len() > 20, "{expected:?}");
    assert_eq!(scan(root).expect("it can be read"), expected);
}

#[test]
fn rules_that_are_no_plain_file_stop_it_at_once() {
    for name in [".gitignore", ".ignore", ".sandboxerignore"] {
        for what in ["link", "fifo", "large"] {
            let dir = tempfile::tempdir().expect("a directory");
            let root = dir.path();
            file(root, "sub/secret", "s");
            let rules = root.join("sub").join(name);
            match what {
                "link" => symlink("/etc/hostname", &rules).expect("a link"),
                "fifo" => mknodat(CWD, &rules, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a fifo"),
                // Sparse, so that it takes no room; whoever read it to its end would take a minute.
                _ => std::fs::File::create(&rules)
                    .and_then(|file| file.set_len(64 << 30))
                    .expect("a file"),
            }
            let before = worked();
            let refused = Tree::scan(root, Limits::default()).expect_err("it is refused");
            // One that waited for a writer would never come back.
            assert!(worked() - before < Duration::from_secs(5), "{name} {what}");
            assert!(
                matches!(&refused, TreeError::Rules { path, .. } if *path == format!("sub/{name}")),
                "{refused:?}"
            );
        }
        // A directory of that name says nothing, and goes.
        let dir = tempfile::tempdir().expect("a directory");
        file(dir.path(), &format!("{name}/x"), "x");
        assert_eq!(scan(dir.path()).expect("it goes").len(), 2);
    }
}

#[test]
fn a_link_that_leads_out_through_another_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path();
    file(root, "x/y/z/f", "f");
    symlink("../..", root.join("x/y/up")).expect("a link");
    symlink("x/y/z", root.join("fine")).expect("a link");
    symlink("fine/f", root.join("finer")).expect("a link");
    symlink("round", root.join("round")).expect("a link");
    assert!(scan(root).expect("it goes").contains("finer"));
    // `x/y/up` is the root, and its parent is outside.
    symlink("x/y/up/../etc", root.join("out")).expect("a link");
    let refused = scan(root).expect_err("it is refused");
    assert!(
        matches!(&refused, TreeError::LeadsOut { path, .. } if path == "out"),
        "{refused:?}"
    );
    std::fs::remove_file(root.join("out")).expect("it goes");
    // Through one that stays here, and through two.
    symlink("/etc", root.join("here")).expect("a link");
    symlink("here/hostname", root.join("one")).expect("a link");
    symlink("one", root.join("two")).expect("a link");
    file(root, ".gitignore", "here\none\n");
    let refused = scan(root).expect_err("it is refused");
    assert!(
        matches!(&refused, TreeError::LeadsOut { path, .. } if path == "two"),
        "{refused:?}"
    );
    file(root, ".gitignore", "here\none\ntwo\n");
    scan(root).expect("it goes without them");
}
