//! The programs that run on a host: parts in POSIX shell that a backend joins into one. They need nothing installed
//! there but what every Linux system has.

/// The words of a call, fencing by epoch, one effect at a time, ending what an older caller left running. Always first.
pub const BASE: &str = include_str!("base.sh");
/// The guard that keeps the deadline when nobody of ours is left. A backend brings a function `remove` and a verb `guard`.
pub const GUARD: &str = include_str!("guard.sh");
/// Receiving a tree, verified before it gets its name.
pub const TREE: &str = include_str!("tree.sh");
/// What verbs of every backend have in common. Needs [`GUARD`], [`TREE`] and the backend's function `remove`.
pub const VERBS: &str = include_str!("verbs.sh");
/// What the host is like at this moment.
pub const SNAPSHOT: &str = include_str!("snapshot.sh");

/// One program of these parts. Its own text is in `$PROGRAM`, for the guard that outlives it; comments and indentation
/// stay here.
pub fn join(parts: &[&str]) -> String {
    let mut text = String::new();
    for line in parts.iter().flat_map(|part| part.lines()) {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    let quoted = text.replace('\'', r"'\''");
    format!("PROGRAM='{quoted}'; eval \"$PROGRAM\"")
}
