//! Archives that are taken, and those that are not: nothing of a refused one is written outside, and none is kept.
#![expect(clippy::disallowed_methods, reason = "tests look at real files")]

use std::fs;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use super::refusal::Refusal;
use super::unpack::{Limits, Unpacked, unpack};

/// An archive under construction; nothing is checked.
#[derive(Default, Clone)]
struct Tar(Vec<u8>);

impl Tar {
    fn header(mut self, name: &[u8], kind: EntryType, change: impl FnOnce(&mut Header), body: &[u8]) -> Tar {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_mtime(1_000_000_000);
        header.set_size(body.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, body: &[u8]) -> Tar {
        self.header(name.as_bytes(), EntryType::Regular, |_| {}, body)
    }

    fn directory(self, name: &str) -> Tar {
        self.header(
            name.as_bytes(),
            EntryType::Directory,
            |header| header.set_mode(0o755),
            b"",
        )
    }

    fn link(self, name: &str, kind: EntryType, target: &str) -> Tar {
        let set = |header: &mut Header| header.set_link_name_literal(target).unwrap();
        self.header(name.as_bytes(), kind, set, b"")
    }

    fn symlink(self, name: &str, target: &str) -> Tar {
        self.link(name, EntryType::Symlink, target)
    }

    fn kind(self, name: &str, kind: u8) -> Tar {
        self.header(name.as_bytes(), EntryType::new(kind), |_| {}, b"")
    }

    fn pax(self, records: &[u8]) -> Tar {
        self.header(b"pax", EntryType::XHeader, |_| {}, records)
    }

    fn long(self, kind: EntryType, path: &[u8]) -> Tar {
        self.header(b"././@LongLink", kind, |_| {}, path)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// One record of a PAX header.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

/// A place to unpack into, with something beside it that must stay as it is.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/canary"), "alive").unwrap();
        Place { dir }
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn unpack(&self, archive: &[u8]) -> Result<Unpacked, Refusal> {
        let _ = fs::remove_dir_all(self.tree());
        let limits = Limits {
            entries: 50,
            bytes: 100_000,
            names: 20_000,
        };
        unpack(Cursor::new(archive), &self.tree(), limits)
    }

    /// What is beside the tree is as it was.
    fn check_outside(&self, name: &str) {
        let beside: Vec<_> = fs::read_dir(self.dir.path().join("outside")).unwrap().collect();
        assert_eq!(beside.len(), 1, "{name}");
        assert_eq!(
            fs::read(self.dir.path().join("outside/canary")).unwrap(),
            b"alive",
            "{name}"
        );
        let tops = fs::read_dir(self.dir.path()).unwrap().count();
        assert!(tops <= 2, "{name}");
    }
}

#[test]
fn a_tree_is_unpacked_as_it_was() {
    let place = Place::new();
    let long = format!("deep/{}", "n".repeat(200));
    let archive = Tar::default()
        .directory("./")
        .file("./a", b"one")
        .file("bin/run", b"#!/bin/sh\n")
        .directory("bin")
        .symlink("link", "bin/run")
        .symlink("bin/up", "../a")
        .symlink("dangling", "not/there")
        .link("same", EntryType::Link, "a")
        .header(b"setuid", EntryType::Regular, |header| header.set_mode(0o6755), b"")
        .long(EntryType::GNULongName, format!("{long}\0").as_bytes())
        .file("short", b"2")
        .pax(&record("path", "späße"))
        .file("other", b"3")
        .header(b"", EntryType::XGlobalHeader, |_| {}, &record("comment", "0123"))
        .end();
    let done = place.unpack(&archive).unwrap();
    assert_eq!(done, Unpacked { entries: 11, bytes: 15 });
    let tree = place.tree();
    assert_eq!(fs::read(tree.join("a")).unwrap(), b"one");
    assert_eq!(fs::read(tree.join("link")).unwrap(), b"#!/bin/sh\n");
    assert_eq!(fs::read(tree.join("bin/up")).unwrap(), b"one");
    assert_eq!(fs::read(tree.join(&long)).unwrap(), b"2");
    assert_eq!(fs::read(tree.join("späße")).unwrap(), b"3");
    assert_eq!(
        fs::metadata(tree.join("a")).unwrap().ino(),
        fs::metadata(tree.join("same")).unwrap().ino()
    );
    assert_eq!(
        fs::metadata(tree.join("setuid")).unwrap().permissions().mode() & 0o7777,
        0o755
    );
    assert_eq!(fs::metadata(tree.join("a")).unwrap().mtime(), 1_000_000_000);
}

#[test]
fn a_directory_that_forbids_to_write_is_filled_first() {
    let place = Place::new();
    let archive = Tar::default()
        .header(b"closed", EntryType::Directory, |header| header.set_mode(0o500), b"")
        .file("closed/file", b"1")
        .end();
    place.unpack(&archive).unwrap();
    let mode = fs::metadata(place.tree().join("closed")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// Every way that is known to get out of a directory, to be two things at once, or to be more than fits.
fn hostile() -> Vec<(String, Vec<u8>)> {
    let one = |name: &str, tar: Tar| (name.to_owned(), tar.end());
    let mut all = vec![
        // Paths.
        one("absolute", Tar::default().file("/etc/x", b"1")),
        one("absolute directory", Tar::default().directory("/etc/")),
        one("up", Tar::default().file("../outside/canary", b"1")),
        one("up in the middle", Tar::default().file("a/../../outside/canary", b"1")),
        one("up and down again", Tar::default().file("a/../b", b"1")),
        one("up at the end", Tar::default().directory("a/..")),
        one("only up", Tar::default().directory("..")),
        one("empty component", Tar::default().file("a//b", b"1")),
        one("dot in the middle", Tar::default().file("a/./b", b"1")),
        one("no name", Tar::default().file("", b"1")),
        one("file at the top", Tar::default().file(".", b"1")),
        one("link at the top", Tar::default().symlink("./", "a")),
        one(
            "long name",
            Tar::default()
                .long(EntryType::GNULongName, &[b'n'; 256])
                .file("s", b"1"),
        ),
        one(
            "long path",
            Tar::default()
                .long(EntryType::GNULongName, &b"d/".repeat(2049)[..4097])
                .file("s", b"1"),
        ),
        one(
            "path with NUL",
            Tar::default().long(EntryType::GNULongName, b"a\0b").file("s", b"1"),
        ),
        one(
            "PAX path with NUL",
            Tar::default().pax(&record("path", "a\0b")).file("s", b"1"),
        ),
        one(
            "PAX path up",
            Tar::default().pax(&record("path", "../outside/canary")).file("s", b"1"),
        ),
        one(
            "PAX path absolute",
            Tar::default().pax(&record("path", "/etc/x")).file("s", b"1"),
        ),
        one(
            "PAX path empty",
            Tar::default().pax(&record("path", "")).file("s", b"1"),
        ),
        one(
            "GNU path up",
            Tar::default()
                .long(EntryType::GNULongName, b"../outside/x\0")
                .file("s", b"1"),
        ),
        // Kinds.
        one("character device", Tar::default().kind("null", b'3')),
        one("block device", Tar::default().kind("disk", b'4')),
        one("named pipe", Tar::default().kind("pipe", b'6')),
        one("contiguous", Tar::default().kind("c", b'7')),
        one("GNU dump", Tar::default().kind("d", b'D')),
        one("GNU multi-volume", Tar::default().kind("m", b'M')),
        one("GNU sparse", Tar::default().kind("s", b'S')),
        one("GNU volume name", Tar::default().kind("v", b'V')),
        one("Solaris", Tar::default().kind("x", b'X')),
        one("socket of star", Tar::default().kind("x", b's')),
        one("unknown kind", Tar::default().kind("x", b'Z')),
        // Links.
        one("link absolute", Tar::default().symlink("l", "/etc/passwd")),
        one("link to the root", Tar::default().symlink("l", "/")),
        one("link up", Tar::default().symlink("l", "../outside/canary")),
        one("link up from below", Tar::default().symlink("a/l", "../../outside")),
        one("link just up", Tar::default().symlink("l", "..")),
        one("link out and back", Tar::default().symlink("l", "../tree/a")),
        one("link to nowhere", Tar::default().symlink("l", "")),
        one(
            "link through a link",
            Tar::default()
                .directory("a")
                .symlink("a/up", "..")
                .symlink("l", "a/up/.."),
        ),
        one(
            "link through a later link",
            Tar::default()
                .symlink("l", "a/up/../x")
                .directory("a")
                .symlink("a/up", ".."),
        ),
        one(
            "file through a link",
            Tar::default().symlink("d", ".").file("d/f", b"1"),
        ),
        one(
            "file through a link out",
            Tar::default().symlink("d", "../outside").file("d/canary", b"1"),
        ),
        one(
            "link over a directory",
            Tar::default().file("d/f", b"1").symlink("d", "../outside"),
        ),
        one(
            "link over a file",
            Tar::default().file("f", b"1").symlink("f", "../outside/canary"),
        ),
        one("directory over a link", Tar::default().symlink("d", "e").directory("d")),
        one("file over a link", Tar::default().symlink("f", "g").file("f", b"1")),
        one(
            "PAX link out",
            Tar::default().pax(&record("linkpath", "/etc/passwd")).symlink("l", "a"),
        ),
        one(
            "GNU link out",
            Tar::default()
                .long(EntryType::GNULongLink, b"/etc/passwd\0")
                .symlink("l", "a"),
        ),
        one(
            "link with contents",
            Tar::default().header(b"l", EntryType::Symlink, |one| one.set_link_name("a").unwrap(), b"1"),
        ),
        // Hard links.
        one(
            "hard link out",
            Tar::default().link("h", EntryType::Link, "../outside/canary"),
        ),
        one(
            "hard link absolute",
            Tar::default().link("h", EntryType::Link, "/etc/passwd"),
        ),
        one("hard link to nothing", Tar::default().link("h", EntryType::Link, "a")),
        one(
            "hard link to what comes later",
            Tar::default().link("h", EntryType::Link, "a").file("a", b"1"),
        ),
        one(
            "hard link to a directory",
            Tar::default().directory("d").link("h", EntryType::Link, "d"),
        ),
        one(
            "hard link to a link",
            Tar::default()
                .symlink("l", "a")
                .file("a", b"1")
                .link("h", EntryType::Link, "l"),
        ),
        one(
            "hard link through a link",
            Tar::default()
                .symlink("d", ".")
                .file("a", b"1")
                .link("h", EntryType::Link, "d/a"),
        ),
        one("hard link to itself", Tar::default().link("h", EntryType::Link, "h")),
        one(
            "hard link with contents",
            Tar::default()
                .file("a", b"1")
                .header(b"h", EntryType::Link, |one| one.set_link_name("a").unwrap(), b"2"),
        ),
        one(
            "hard link over a file",
            Tar::default()
                .file("a", b"1")
                .file("b", b"2")
                .link("b", EntryType::Link, "a"),
        ),
        // The same twice.
        one("file twice", Tar::default().file("a", b"1").file("a", b"2")),
        one(
            "file twice by another name",
            Tar::default().file("a", b"1").file("./a", b"2"),
        ),
        one("directory twice", Tar::default().directory("d").directory("d/")),
        one("top twice", Tar::default().directory(".").directory("./")),
        one("file over a directory", Tar::default().directory("d").file("d", b"1")),
        one("directory over a file", Tar::default().file("d", b"1").directory("d")),
        one("file below a file", Tar::default().file("f", b"1").file("f/g", b"1")),
        // Two readings of one archive.
        one(
            "PAX size larger",
            Tar::default().pax(&record("size", "1024")).file("a", b"1"),
        ),
        one(
            "PAX size smaller",
            Tar::default().pax(&record("size", "0")).file("a", &[b'x'; 600]),
        ),
        one(
            "PAX size twice",
            Tar::default()
                .pax(&[record("size", "1"), record("size", "1")].concat())
                .file("a", b"1"),
        ),
        one(
            "PAX size no number",
            Tar::default().pax(&record("size", "-1")).file("a", b"1"),
        ),
        one(
            "PAX path twice",
            Tar::default()
                .pax(&[record("path", "a"), record("path", "b")].concat())
                .file("s", b"1"),
        ),
        one(
            "two PAX headers",
            Tar::default()
                .pax(&record("path", "a"))
                .pax(&record("path", "b"))
                .file("s", b"1"),
        ),
        one(
            "two long names",
            Tar::default()
                .long(EntryType::GNULongName, b"a\0")
                .long(EntryType::GNULongName, b"b\0")
                .file("s", b"1"),
        ),
        one(
            "PAX and GNU name",
            Tar::default()
                .pax(&record("path", "a"))
                .long(EntryType::GNULongName, b"b\0")
                .file("s", b"1"),
        ),
        one(
            "PAX sparse",
            Tar::default().pax(&record("GNU.sparse.major", "1")).file("a", b"1"),
        ),
        one(
            "PAX for all",
            Tar::default()
                .header(b"g", EntryType::XGlobalHeader, |_| {}, &record("path", "../x"))
                .file("a", b"1"),
        ),
        one(
            "PAX size for all",
            Tar::default()
                .header(b"g", EntryType::XGlobalHeader, |_| {}, &record("size", "9"))
                .file("a", b"1"),
        ),
        one("PAX malformed", Tar::default().pax(b"nonsense").file("a", b"1")),
        one(
            "PAX length too long",
            Tar::default().pax(b"99 path=a\n").file("a", b"1"),
        ),
        one(
            "PAX of nothing",
            Tar::default().file("a", b"1").pax(&record("path", "b")),
        ),
        one(
            "long name of nothing",
            Tar::default().long(EntryType::GNULongName, b"b\0"),
        ),
        one("PAX bomb", Tar::default().pax(&vec![b'x'; 70_000]).file("a", b"1")),
        one(
            "long name bomb",
            Tar::default()
                .long(EntryType::GNULongName, &vec![b'x'; 70_000])
                .file("a", b"1"),
        ),
        one(
            "directory with contents",
            Tar::default().header(b"d", EntryType::Directory, |_| {}, b"1"),
        ),
        // More than fits.
        one("too many bytes", Tar::default().file("a", &vec![0; 100_001])),
        one(
            "too many bytes together",
            (0..3).fold(Tar::default(), |tar, n| tar.file(&format!("f{n}"), &[0; 40_000])),
        ),
        one(
            "too many entries",
            (0..51).fold(Tar::default(), |tar, n| tar.file(&format!("f{n}"), b"")),
        ),
        one(
            "too many records",
            (0..51).fold(Tar::default(), |tar, _| {
                tar.header(b"g", EntryType::XGlobalHeader, |_| {}, &record("comment", "x"))
            }),
        ),
        one(
            "too long paths",
            (0..9).fold(Tar::default(), |tar, n| {
                tar.pax(&record("path", &format!("{}{n}", "d/".repeat(1500))))
                    .file("s", b"1")
            }),
        ),
        one(
            "size beyond everything",
            Tar::default().header(b"a", EntryType::Regular, |one| one.set_size(u64::MAX / 2), b""),
        ),
    ];
    // What is no whole archive.
    let whole = Tar::default().file("a", b"1").end();
    let mut damaged = whole.clone();
    damaged[3] ^= 0xff;
    let with = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    all.extend([
        with("nothing", vec![]),
        with("no archive", b"hello, this is no archive at all".to_vec()),
        with("text of a block", vec![b'x'; 512]),
        with("compressed", [&[0x1f, 0x8b, 8, 0][..], &[0; 1000]].concat()),
        with("damaged header", damaged),
        with("cut in a header", whole[..300].to_vec()),
        with(
            "cut in a file",
            Tar::default().file("a", &[b'x'; 5000]).end()[..2000].to_vec(),
        ),
        with("cut before its end", whole[..1024].to_vec()),
        with("something behind its end", [&whole[..], b"more"].concat()),
        with("an archive behind its end", [&whole[..], &whole[..]].concat()),
        with("negative size", {
            let mut header = Header::new_ustar();
            header.as_old_mut().name[0] = b'a';
            header.as_old_mut().size = *b"-0000000001\0";
            header.set_mode(0o644);
            header.set_cksum();
            [&header.as_bytes()[..], &[0; 1024]].concat()
        }),
    ]);
    all
}

#[test]
fn nothing_hostile_is_taken_and_nothing_is_written_outside() {
    let place = Place::new();
    let all = hostile();
    assert!(all.len() >= 90, "only {}", all.len());
    let mut taken = Vec::new();
    for (name, archive) in &all {
        if place.unpack(archive).is_ok() {
            taken.push(name.as_str());
        }
        place.check_outside(name);
        // Links are made last, and those of a refused archive not at all.
        assert!(links(&place.tree()).is_empty(), "{name}");
    }
    assert!(taken.is_empty(), "{taken:?}");
    println!("{} hostile archives, none taken", all.len());
}

/// Every cut of an archive, and every header with one byte changed, is refused or harmless.
#[test]
fn what_is_cut_or_changed_is_refused_or_harmless() {
    let place = Place::new();
    let archive = Tar::default()
        .directory("d")
        .pax(&record("path", "d/späße"))
        .file("s", &[b'x'; 700])
        .symlink("l", "d")
        .end();
    for length in (0..archive.len()).step_by(37).chain((0..archive.len()).step_by(512)) {
        let outcome = place.unpack(&archive[..length]);
        // One block of zeros is an end, too.
        assert!(outcome.is_err() || length >= archive.len() - 512, "{length}");
        place.check_outside("cut");
    }
    // A third of each header, and a little of what is none.
    for at in (0..archive.len()).filter(|at| at % 512 < 160 && at % 3 == 0 || at % 61 == 0) {
        for value in [0, b'/'] {
            let mut changed = archive.clone();
            changed[at] = value;
            // So that more than the sum is looked at.
            for block in (0..changed.len()).step_by(512).filter(|block| at / 512 * 512 == *block) {
                let mut header = Header::new_old();
                header.as_mut_bytes().copy_from_slice(&changed[block..block + 512]);
                header.set_cksum();
                changed[block + 148..block + 156].copy_from_slice(&header.as_bytes()[148..156]);
            }
            let _ = place.unpack(&changed);
            place.check_outside(&format!("byte {at}"));
        }
    }
}

#[test]
fn what_breaks_off_says_so() {
    struct Breaks(Cursor<Vec<u8>>);
    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::ErrorKind::ConnectionAborted.into()),
                count => Ok(count),
            }
        }
    }
    let place = Place::new();
    let archive = Tar::default().file("a", &[b'x'; 5000]).end();
    for length in [0, 100, 512, 3000] {
        let _ = fs::remove_dir_all(place.tree());
        let broken = Breaks(Cursor::new(archive[..length].to_vec()));
        let refusal = unpack(broken, &place.tree(), Limits::USUAL).unwrap_err();
        assert!(matches!(refusal, Refusal::BrokenOff(_)), "{length}: {refusal}");
    }
}

fn links(tree: &Path) -> Vec<PathBuf> {
    let (mut left, mut found) = (vec![tree.to_owned()], Vec::new());
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_symlink() {
                found.push(entry.path());
            }
        }
    }
    found
}
