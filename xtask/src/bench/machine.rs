//! What the figures were measured on.

use super::figures::Figures;
use super::place::Place;
use crate::process;

/// One line per fact.
pub(super) fn describe(place: &Place) -> Vec<(String, String)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or("");
        line.split_once(':')
            .map_or("unknown", |(_, value)| value.trim())
            .to_owned()
    };
    let said = |program: &str, words: &[&str]| {
        let text = process::capture(process::command(program).args(words)).unwrap_or_else(|_| "absent".into());
        text.lines().next().unwrap_or("").to_owned()
    };
    let mounts = read("/proc/mounts");
    let has = |kind: &str| mounts.lines().any(|line| line.split(' ').nth(2) == Some(kind));
    let groups = match (has("cgroup"), has("cgroup2")) {
        (true, true) => "both versions (hybrid)",
        (true, false) => "version 1",
        (false, true) => "version 2",
        (false, false) => "none",
    };
    let stat = said("stat", &["-f", "-c", "%T", &place.folder.to_string_lossy()]);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let facts = [
        ("kernel", read("/proc/sys/kernel/osrelease")),
        (
            "processor",
            format!("{} × {cores}", field(&read("/proc/cpuinfo"), "model name")),
        ),
        ("memory", field(&read("/proc/meminfo"), "MemTotal")),
        ("disk of the data directory", stat),
        ("one 4 KiB append and fdatasync there", sync_floor(place)),
        ("control groups", groups.to_owned()),
        ("load average when it began", read("/proc/loadavg")),
        ("compiler", said("rustc", &["--version"])),
        ("bubblewrap", said("bwrap", &["--version"])),
        ("crun", said("crun", &["--version"])),
        ("docker", said("dockerd", &["--version"])),
    ];
    facts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// What durability costs on this disk, whoever asks for it.
fn sync_floor(place: &Place) -> String {
    use std::io::Write as _;
    let path = place.folder.join("sync-floor");
    let measure = || -> std::io::Result<Figures> {
        let mut file = std::fs::File::create(&path)?;
        let mut samples = Vec::new();
        for _ in 0..40 {
            let started = std::time::Instant::now();
            file.write_all(&[0; 4096])?;
            file.sync_data()?;
            samples.push(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        Ok(Figures::of(samples))
    };
    let result = measure();
    let _ = std::fs::remove_file(&path);
    result.map_or_else(
        |error| format!("not measured: {error}"),
        |figures| format!("{:.2} ms (median of 40)", figures.p50),
    )
}
