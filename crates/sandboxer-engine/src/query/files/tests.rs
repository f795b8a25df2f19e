//! The programs, run by the shells and tools that sandboxes have: this machine's own, and BusyBox where it is there.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start the real shells and look at real files"
)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sandboxer_api::request::FileKind;
use sandboxer_model::error::ErrorCode;

use super::path::WorkspacePath;
use super::program::{self, Program};

const SEAL: &str = "0123456789abcdef0123456789abcdef";

/// A workspace, and the tools that programs find.
struct Inside {
    dir: tempfile::TempDir,
    path: String,
    shell: PathBuf,
}

struct Ended {
    code: u8,
    stdout: Vec<u8>,
}

impl Inside {
    fn all() -> Vec<Inside> {
        let own = Inside {
            dir: tempfile::tempdir().unwrap(),
            path: "/usr/bin:/bin".to_owned(),
            shell: "/bin/sh".into(),
        };
        let busybox = Path::new("/usr/bin/busybox");
        if !busybox.exists() {
            println!("SKIPPED: files with BusyBox: there is no /usr/bin/busybox");
            return vec![own];
        }
        let dir = tempfile::tempdir().unwrap();
        let tools = dir.path().join("tools");
        fs::create_dir(&tools).unwrap();
        for tool in [
            "sh", "cat", "stat", "tar", "mktemp", "chmod", "mv", "rm", "mkdir", "tail", "dd", "find",
        ] {
            symlink(busybox, tools.join(tool)).unwrap();
        }
        let small = Inside {
            path: tools.to_string_lossy().into_owned(),
            shell: tools.join("sh"),
            dir,
        };
        vec![own, small]
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("work").join(name)
    }

    fn run(&self, program: Program, path: &str, more: &[&str], input: &[u8]) -> Ended {
        let work = self.dir.path().join("work");
        fs::create_dir_all(&work).unwrap();
        let path: WorkspacePath = path.parse().unwrap();
        let text = String::from_utf8(program.text()).unwrap();
        let mut child = Command::new(&self.shell)
            .args(["-c", &text, "sh"])
            .arg(String::from_utf8(path.word()).unwrap())
            .args(more)
            .env_clear()
            .env("PATH", &self.path)
            .current_dir(&work)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        Ended {
            code: u8::try_from(output.status.code().unwrap()).unwrap(),
            stdout: output.stdout,
        }
    }

    fn write(&self, path: &str, mode: &str, bytes: &[u8]) -> u8 {
        let sealed = [bytes, SEAL.as_bytes()].concat();
        self.run(program::WRITE, path, &[SEAL, mode], &sealed).code
    }

    /// Every name below the workspace.
    fn names(&self) -> Vec<String> {
        let (root, mut found) = (self.dir.path().join("work"), Vec::new());
        let mut left = vec![root.clone()];
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    left.push(entry.path());
                }
                found.push(entry.path().strip_prefix(&root).unwrap().to_string_lossy().into_owned());
            }
        }
        found.sort();
        found
    }
}

const READ: &[&str] = &["1073741824"];

fn meaning(program: Program, code: u8) -> ErrorCode {
    program.verdict(&"x".parse().unwrap(), code).unwrap_err().code
}

#[test]
fn a_file_is_what_was_written_whatever_its_name_and_bytes() {
    for inside in Inside::all() {
        let bytes: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        for name in [
            "a",
            "deep/er/file",
            "-rf",
            "--",
            "a b",
            "$(touch owned)",
            "`id`",
            "a\nb",
            "'q\"",
            "*",
            "~",
            "\\",
        ] {
            assert_eq!(inside.write(name, "", &bytes), 0, "{name}");
            assert_eq!(inside.run(program::READ, name, READ, b"").stdout, bytes, "{name}");
        }
        assert_eq!(inside.write("empty", "", b""), 0);
        assert_eq!(fs::read(inside.at("empty")).unwrap(), b"");
        let sealed = [b"x", SEAL.as_bytes()].concat();
        assert_eq!(inside.write("looks sealed", "", &sealed), 0);
        assert_eq!(fs::read(inside.at("looks sealed")).unwrap(), sealed);
        assert!(
            !inside
                .names()
                .iter()
                .any(|name| name == "owned" || name.contains("sandboxer"))
        );
    }
}

#[test]
fn a_mode_is_given_kept_or_the_usual_one() {
    for inside in Inside::all() {
        let mode = |name: &str| fs::metadata(inside.at(name)).unwrap().permissions().mode() & 0o7777;
        inside.write("script", "755", b"1");
        assert_eq!(mode("script"), 0o755);
        inside.write("script", "", b"2");
        assert_eq!(mode("script"), 0o755);
        inside.write("plain", "", b"1");
        assert_eq!(mode("plain"), 0o644);
        fs::set_permissions(inside.at("plain"), fs::Permissions::from_mode(0o4755)).unwrap();
        inside.write("plain", "", b"2");
        assert_eq!(mode("plain"), 0o755);
    }
}

#[test]
fn what_breaks_off_leaves_what_was_there_and_nothing_else() {
    for inside in Inside::all() {
        assert_eq!(inside.write("kept", "", b"old"), 0);
        let before = inside.names();
        for input in [&b"new"[..], b"", &SEAL.as_bytes()[..31], &[b'x'; 100_000]] {
            assert_eq!(inside.run(program::WRITE, "kept", &[SEAL, ""], input).code, 71);
            assert_eq!(inside.run(program::WRITE_TREE, ".", &[SEAL], input).code, 71);
        }
        assert_eq!(fs::read(inside.at("kept")).unwrap(), b"old");
        assert_eq!(inside.names(), before);
    }
}

#[test]
fn what_is_not_there_or_no_file_is_told_apart() {
    for inside in Inside::all() {
        inside.write("file", "", b"1");
        inside.write("dir/file", "", b"1");
        symlink("nowhere", inside.at("dangling")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            inside.at("pipe"),
            rustix::fs::FileType::Fifo,
            0o644.into(),
            0,
        )
        .unwrap();
        let code =
            |program: Program, path: &str, more: &[&str]| meaning(program, inside.run(program, path, more, b"").code);
        for program in [program::READ, program::READ_TREE, program::LIST, program::REMOVE] {
            assert_eq!(code(program, "none", READ), ErrorCode::NotFound);
            assert_eq!(code(program, "none/at/all", READ), ErrorCode::NotFound);
            assert_eq!(code(program, "file/below", READ), ErrorCode::NotFound);
        }
        for program in [program::READ, program::LIST] {
            assert_eq!(code(program, "dangling", READ), ErrorCode::NotFound);
        }
        assert_eq!(inside.run(program::READ, "dir", READ, b"").code, 62);
        assert_eq!(inside.run(program::READ, "pipe", READ, b"").code, 63);
        assert_eq!(inside.run(program::READ, "dir/file", &["0"], b"").code, 68);
        assert_eq!(inside.run(program::LIST, "file", &[], b"").code, 66);
        assert_eq!(inside.write("dir", "", b"1"), 62);
        assert_eq!(inside.write("file/below", "", b"1"), 66);
        assert_eq!(inside.write(&"n".repeat(250), "", b"1"), 0);
        assert_eq!(inside.write(&format!("{}/x", "n".repeat(250)), "", b"1"), 66);
    }
}

#[test]
fn a_listing_names_everything_with_kind_and_size() {
    for inside in Inside::all() {
        let list = |path: &str| super::parse_list(&inside.run(program::LIST, path, &[], b"").stdout).unwrap();
        fs::create_dir_all(inside.at("none")).unwrap();
        assert_eq!(list("none"), []);
        for name in ["a", ".hidden", "-x", "new\nline", "81a4 5"] {
            inside.write(name, "", b"12345");
        }
        symlink("a", inside.at("link")).unwrap();
        let brief: Vec<_> = list(".").into_iter().map(|one| (one.name, one.kind)).collect();
        let expected = [
            ("-x", FileKind::File),
            (".hidden", FileKind::File),
            ("81a4 5", FileKind::File),
            ("a", FileKind::File),
            ("link", FileKind::Link),
            ("new\nline", FileKind::File),
            ("none", FileKind::Directory),
        ];
        assert_eq!(brief, expected.map(|(name, kind)| (name.to_owned(), kind)));
        assert_eq!(list(".").first().unwrap().size, 5);
        // More than one command line holds.
        for number in 0..3000 {
            fs::write(inside.at("none").join(format!("{:0200}", number)), b"").unwrap();
        }
        assert_eq!(list("none").len(), 3000);
    }
}

#[test]
fn removing_takes_links_and_not_what_they_lead_to() {
    for inside in Inside::all() {
        inside.write("dir/sub/file", "", b"1");
        symlink("dir", inside.at("link")).unwrap();
        symlink("nowhere", inside.at("dangling")).unwrap();
        for path in ["link", "dangling"] {
            assert_eq!(inside.run(program::REMOVE, path, &[], b"").code, 0);
        }
        assert_eq!(inside.names(), ["dir", "dir/sub", "dir/sub/file"]);
        assert_eq!(inside.run(program::REMOVE, "dir", &[], b"").code, 0);
        assert_eq!(inside.names(), [] as [&str; 0]);
    }
}

#[test]
fn a_tree_comes_back_as_it_went() {
    for inside in Inside::all() {
        inside.write("from/a", "755", b"1");
        inside.write("from/sub/b", "", b"2");
        symlink("a", inside.at("from/link")).unwrap();
        let archive = inside.run(program::READ_TREE, "from", &[], b"");
        assert_eq!(archive.code, 0);
        let sealed = [archive.stdout.as_slice(), SEAL.as_bytes()].concat();
        assert_eq!(inside.run(program::WRITE_TREE, "to/there", &[SEAL], &sealed).code, 0);
        assert_eq!(fs::read(inside.at("to/there/sub/b")).unwrap(), b"2");
        assert_eq!(fs::read_link(inside.at("to/there/link")).unwrap(), Path::new("a"));
        assert_eq!(
            fs::metadata(inside.at("to/there/a")).unwrap().permissions().mode() & 0o777,
            0o755
        );
        let one = inside.run(program::READ_TREE, "from/a", &[], b"");
        let sealed = [one.stdout.as_slice(), SEAL.as_bytes()].concat();
        assert_eq!(inside.run(program::WRITE_TREE, "one", &[SEAL], &sealed).code, 0);
        assert_eq!(fs::read(inside.at("one/a")).unwrap(), b"1");
        let before = inside.names();
        let junk = [&b"this is no archive".repeat(100)[..], SEAL.as_bytes()].concat();
        assert_eq!(inside.run(program::WRITE_TREE, "to", &[SEAL], &junk).code, 69);
        assert_eq!(inside.names(), before);
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_stays() {
    // What the tools say is the same whether a disk or a limit of the process is full.
    for inside in Inside::all() {
        assert_eq!(inside.write("kept", "", b"old"), 0);
        let text = String::from_utf8(program::WRITE.text()).unwrap();
        let limited = format!("ulimit -f 16; trap '' XFSZ\n{text}");
        let mut child = Command::new(&inside.shell)
            .args(["-c", &limited, "sh", "./kept", SEAL, ""])
            .env_clear()
            .env("PATH", &inside.path)
            .current_dir(inside.at(""))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(&vec![b'x'; 1 << 20]);
        let code = child.wait().unwrap().code().unwrap();
        assert_eq!(
            meaning(program::WRITE, u8::try_from(code).unwrap()),
            ErrorCode::QuotaExceeded,
            "{code}"
        );
        assert_eq!(fs::read(inside.at("kept")).unwrap(), b"old");
        assert_eq!(inside.names(), ["kept"]);
    }
}
