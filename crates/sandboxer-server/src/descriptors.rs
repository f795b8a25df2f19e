//! Files that this process may have open: enough for every connection it lets in, and room for them made beforehand.

use rustix::fd::AsFd;
use rustix::process::{Resource, getrlimit, setrlimit};

/// What is open beside connections: databases, streams into sandboxes, files on their way.
const BESIDE: u64 = 1024;

/// Makes room for so many connections, and returns how many there is room for: the machine may allow fewer.
///
/// The table of open files grows by doubling, and each time every thread that opens something waits until the kernel has
/// seen all processors pass by, several milliseconds (`expand_fdtable` in Linux's `fs/file.c`). So it grows once, before anybody
/// is served.
pub(crate) fn make_room(connections: usize, some: impl AsFd) -> usize {
    let wanted = connections as u64 + BESIDE;
    let allowed = raise_limit(wanted);
    let last = i32::try_from(allowed.min(wanted).saturating_sub(1)).unwrap_or(i32::MAX);
    // What is not made now is made later, at a price.
    drop(rustix::io::fcntl_dupfd_cloexec(some, last));
    let room = usize::try_from(allowed.saturating_sub(BESIDE)).unwrap_or(usize::MAX);
    // Where hardly anything is allowed, half of it.
    connections.min(room.max(usize::try_from(allowed / 2).unwrap_or(usize::MAX)))
}

/// How many files may be open once the limit is as far up as this process can raise it.
fn raise_limit(wanted: u64) -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    let now = limit.current.unwrap_or(u64::MAX);
    if now >= wanted {
        return now;
    }
    let raised = limit.maximum.map_or(wanted, |most| most.min(wanted));
    limit.current = Some(raised);
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => raised,
        Err(_) => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_what_is_promised() {
        let room = make_room(64, std::io::stderr());
        assert_eq!(room, 64);
        let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(most >= 64 + BESIDE || room as u64 <= most / 2);
    }
}
