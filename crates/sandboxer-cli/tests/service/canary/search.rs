//! Where secrets are looked for: every column of the database, every file of the data directory, every process of the machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::marks::Marks;
use crate::support::World;

/// Whether these bytes are in there.
pub(super) fn holds(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// Every mark in the database, with the column it is in.
pub(super) fn columns(database: &Path, marks: &Marks) -> BTreeSet<(String, String)> {
    let database = rusqlite::Connection::open(database).unwrap();
    let strings = |query: &str| -> Vec<String> {
        let mut statement = database.prepare(query).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap();
        rows.map(|row| row.unwrap().unwrap_or_default()).collect()
    };
    let mut found = BTreeSet::new();
    for table in strings("SELECT name FROM sqlite_master WHERE type = 'table'") {
        for column in strings(&format!("SELECT name FROM pragma_table_info('{table}')")) {
            for text in strings(&format!("SELECT CAST(\"{column}\" AS TEXT) FROM \"{table}\"")) {
                for mark in marks.found_in(text.as_bytes()) {
                    found.insert((mark, format!("{table}.{column}")));
                }
            }
        }
    }
    found
}

/// Every file of the data directory and what is in it, but for what belongs to sandboxes.
pub(super) fn files(world: &World) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut pending = vec![world.data.clone()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !entry.path().ends_with("native/sb") {
                pending.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let name = path.strip_prefix(&world.data).unwrap().display().to_string();
                files.push((name, std::fs::read(&path).unwrap_or_default()));
            }
        }
    }
    files
}

/// Looks at all processes, again and again, until it is ended.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    /// Of processes of sandboxes.
    pub(super) inside: BTreeSet<Place>,
    /// Of others.
    pub(super) outside: BTreeSet<Place>,
    /// How often all were looked at.
    pub(super) looks: usize,
}

/// Something with a mark in it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) process: String,
    pub(super) file: &'static str,
    pub(super) text: String,
}

impl Watch {
    pub(super) fn begin(prefix: &str) -> Watch {
        let (stop, prefix) = (Arc::new(AtomicBool::new(false)), prefix.as_bytes().to_vec());
        let is_over = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            while !is_over.load(Ordering::Relaxed) {
                look(&prefix, &mut seen);
                seen.looks += 1;
            }
            seen
        });
        Watch { stop, thread }
    }

    pub(super) fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn look(prefix: &[u8], seen: &mut Seen) {
    let space = |process: &Path| std::fs::read_link(process.join("ns/pid")).ok();
    let (own, ours) = (
        PathBuf::from(format!("/proc/{}", std::process::id())),
        space(Path::new("/proc/self")),
    );
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let process = entry.path();
        if !entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()) || process == own {
            continue;
        }
        for file in ["cmdline", "environ"] {
            let bytes = std::fs::read(process.join(file)).unwrap_or_default();
            if !holds(&bytes, prefix) {
                continue;
            }
            let place = Place {
                process: std::fs::read_to_string(process.join("comm"))
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
                file,
                text: String::from_utf8_lossy(&bytes).into_owned(),
            };
            match space(&process) {
                Some(space) if Some(&space) != ours.as_ref() => seen.inside.insert(place),
                Some(_) => seen.outside.insert(place),
                // It has ended since, and whose it was cannot be told.
                None => false,
            };
        }
    }
}
