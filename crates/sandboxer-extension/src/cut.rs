//! Cut points: named places where a crash matters. Tests make the process kill itself there.
//!
//! `SBX_CRASH_AT=name` or `name:n` kills this process with SIGKILL when the point is reached for the n-th time.
//! `SBX_CUT_LOG=file` appends the name of every point that is reached, so that a suite can prove it reached them all.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Mutex, OnceLock};

struct Plan {
    crash: Option<(String, u64)>,
    log: Option<std::path::PathBuf>,
    hits: Mutex<HashMap<String, u64>>,
}

fn plan() -> Option<&'static Plan> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    PLAN.get_or_init(|| {
        let crash = std::env::var("SBX_CRASH_AT")
            .ok()
            .map(|text| match text.rsplit_once(':') {
                Some((name, hit)) => (name.to_owned(), hit.parse().unwrap_or(1)),
                None => (text, 1),
            });
        let log = std::env::var_os("SBX_CUT_LOG").map(Into::into);
        (crash.is_some() || log.is_some()).then(|| Plan {
            crash,
            log,
            hits: Mutex::new(HashMap::new()),
        })
    })
    .as_ref()
}

/// Called by [`cut!`](crate::cut!); does nothing unless a test asked for it.
#[expect(
    clippy::disallowed_methods,
    reason = "the log of cut points is a test instrument beside the ports"
)]
pub fn reached(name: &str) {
    let Some(plan) = plan() else { return };
    if let Some(path) = &plan.log
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
    {
        // One write: threads that reach points at once must not tear each other's lines.
        let _ = file.write_all(format!("{name}\n").as_bytes());
    }
    if let Some((target, hit)) = &plan.crash
        && target == name
        && let Ok(mut hits) = plan.hits.lock()
    {
        let count = hits.entry(name.to_owned()).or_insert(0);
        *count += 1;
        if count == hit {
            kill_self();
        }
    }
}

fn kill_self() {
    // SIGKILL and not abort: no destructor, no handler, no core. The loop waits for delivery.
    let pid = rustix::process::getpid();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    loop {
        std::thread::park();
    }
}

/// Marks a place where a crash matters. Takes the name as anything that displays; nothing is formatted unless a test
/// armed the points.
#[macro_export]
macro_rules! cut {
    ($name:literal) => {
        $crate::cut::reached($name)
    };
    ($($format:tt)+) => {
        if $crate::cut::is_armed() {
            $crate::cut::reached(&format!($($format)+));
        }
    };
}

/// Whether a test asked for crashes or a log.
pub fn is_armed() -> bool {
    plan().is_some()
}
