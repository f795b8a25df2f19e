//! What a sandbox costs while nothing happens in it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::place::Place;
use crate::Outcome;
use crate::test::descendants;

/// Memory of many sandboxes at once, in KiB per sandbox.
pub(super) struct Memory {
    pub(super) live: usize,
    pub(super) caller: &'static str,
    pub(super) create_seconds: f64,
    pub(super) destroy_seconds: f64,
    pub(super) processes: usize,
    /// Which process → proportional and private memory.
    pub(super) by_name: BTreeMap<String, (f64, f64)>,
}

impl Memory {
    /// Proportional and private memory of all processes of one sandbox.
    pub(super) fn total(&self) -> (f64, f64) {
        self.by_name
            .values()
            .fold((0.0, 0.0), |(pss, uss), kind| (pss + kind.0, uss + kind.1))
    }
}

/// Creates that many, looks at every process below us, and destroys them.
pub(super) fn measure(place: &Place, live: usize) -> Outcome<Memory> {
    let caller = place.callers.first().ok_or("nobody to create sandboxes")?;
    let before: Vec<u32> = descendants(std::process::id())
        .into_iter()
        .map(|(pid, _)| pid)
        .collect();
    let started = Instant::now();
    let mut ids = Vec::new();
    for _ in 0..live {
        ids.push(place.create(caller)?);
    }
    let create_seconds = started.elapsed().as_secs_f64();
    let mut by_name = BTreeMap::new();
    let mut processes = 0;
    for (pid, _) in descendants(std::process::id()) {
        if before.contains(&pid) {
            continue;
        }
        let Some((pss, uss)) = rollup(pid) else { continue };
        let name = if is_inside(pid) { "pid 1" } else { "keeper" }.to_owned();
        let kind: &mut (f64, f64) = by_name.entry(name).or_default();
        kind.0 += pss / live as f64;
        kind.1 += uss / live as f64;
        processes += 1;
    }
    let started = Instant::now();
    let words: Vec<_> = ["destroy"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    place.sandboxer(caller, &words).output()?;
    let destroy_seconds = started.elapsed().as_secs_f64();
    Ok(Memory {
        live,
        caller: caller.name,
        create_seconds,
        destroy_seconds,
        processes,
        by_name,
    })
}

/// Whether a process has a number of its own in another process namespace.
fn is_inside(pid: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    text.lines()
        .any(|line| line.starts_with("NSpid:") && line.split_whitespace().count() > 2)
}

fn rollup(pid: u32) -> Option<(f64, f64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    Some((field("Pss:")?, field("Private_Clean:")? + field("Private_Dirty:")?))
}
