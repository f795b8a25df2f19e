//! What is on a disk after a loss of power, told from the calls of one process: what was written to a file before its last
//! sync is there; of what was written since, nothing, all, or every other write; a file that was made is there once its
//! directory was synced.

use std::collections::BTreeMap;
use std::path::Path;

/// The files of a database.
pub(crate) const DATABASE: &str = "sandboxer.db";
const FILES: [&str; 2] = [DATABASE, "sandboxer.db-wal"];

/// One call that changes files or makes changes last.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Write { file: String, at: usize, bytes: Vec<u8> },
    Truncate { file: String, length: usize },
    Sync(String),
    SyncDirectory,
    Link,
}

/// What became of writes that were not synced.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unsynced {
    Lost,
    Kept,
    EveryOther,
}

pub(crate) const UNSYNCED: [Unsynced; 3] = [Unsynced::Lost, Unsynced::Kept, Unsynced::EveryOther];

/// Files by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The files as they are; what is in them is synced first.
pub(crate) fn synced(data: &Path) -> Files {
    let mut files = Files::new();
    for name in FILES {
        if let Ok(file) = std::fs::File::open(data.join(name)) {
            file.sync_all().unwrap();
            files.insert(name.to_owned(), std::fs::read(data.join(name)).unwrap());
        }
    }
    files
}

/// The calls in a log of `strace -xx -y` that are about these files.
pub(crate) fn calls(log: &str, data: &Path) -> Vec<Call> {
    log.lines().filter_map(|line| call(line, data)).collect()
}

fn call(line: &str, data: &Path) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    if line.contains(") = -1 ") {
        return None;
    }
    if name == "link" || name == "linkat" {
        return Some(Call::Link);
    }
    let path = String::from_utf8(unhex(rest.split_once('<')?.1.split_once('>')?.0)).ok()?;
    let path = Path::new(&path);
    if path == data && name.ends_with("sync") {
        return Some(Call::SyncDirectory);
    }
    let inside = path.strip_prefix(data).ok()?.to_str()?;
    // A new database has another name until it is linked to its place.
    let is_draft = inside.starts_with("sandboxer.db.inst-") && inside.ends_with(".new");
    let file = if is_draft { DATABASE } else { inside }.to_owned();
    if !FILES.contains(&file.as_str()) {
        return None;
    }
    let (_, arguments) = rest.split_once(">, ").unwrap_or_default();
    let numbers = |text: &str| -> Option<usize> { text.split(')').next()?.trim().parse().ok() };
    match name {
        "fsync" | "fdatasync" => Some(Call::Sync(file)),
        "ftruncate" => Some(Call::Truncate {
            file,
            length: numbers(arguments)?,
        }),
        "pwrite64" => {
            let (text, figures) = arguments.strip_prefix('"')?.split_once('"')?;
            let bytes = unhex(text);
            let (length, at) = figures.trim_start_matches(", ").split_once(", ")?;
            assert_eq!(length.parse(), Ok(bytes.len()), "the log is cut short");
            Some(Call::Write {
                file,
                at: numbers(at)?,
                bytes,
            })
        }
        _ => None,
    }
}

fn unhex(text: &str) -> Vec<u8> {
    text.split("\\x")
        .skip(1)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// The files after these calls and a loss of power.
pub(crate) fn after(base: &Files, calls: &[Call], unsynced: Unsynced) -> Files {
    let mut files: BTreeMap<String, Vec<u8>> = base.clone();
    let mut pending: BTreeMap<String, Vec<&Call>> = BTreeMap::new();
    let mut named: Vec<String> = base.keys().cloned().collect();
    let mut made: Vec<String> = Vec::new();
    for call in calls {
        match call {
            Call::Write { file, .. } | Call::Truncate { file, .. } => {
                if file != DATABASE && !named.contains(file) && !made.contains(file) {
                    made.push(file.clone());
                }
                pending.entry(file.clone()).or_default().push(call);
            }
            Call::Sync(file) => {
                for call in pending.remove(file).unwrap_or_default() {
                    apply(files.entry(file.clone()).or_default(), call);
                }
            }
            Call::Link => made.push(DATABASE.to_owned()),
            Call::SyncDirectory => named.append(&mut made),
        }
    }
    for (file, calls) in pending {
        for (nth, call) in calls.into_iter().enumerate() {
            let is_there = match unsynced {
                Unsynced::Lost => false,
                Unsynced::Kept => true,
                Unsynced::EveryOther => nth % 2 == 1,
            };
            if is_there {
                apply(files.entry(file.clone()).or_default(), call);
            }
        }
    }
    files.retain(|name, _| named.contains(name));
    files
}

fn apply(content: &mut Vec<u8>, call: &Call) {
    match call {
        Call::Write { at, bytes, .. } => {
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*at..end].copy_from_slice(bytes);
        }
        Call::Truncate { length, .. } => content.resize(*length, 0),
        Call::Sync(_) | Call::SyncDirectory | Call::Link => {}
    }
}
