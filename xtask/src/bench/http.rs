//! The HTTP API under load: the example `http_bench` of `sandboxer-server` measures, here it is started and its figures are shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::compose_report::put_at;
use crate::{Outcome, process, workspace};

/// The heading, by which the section is found again.
const HEADING: &str = "## The HTTP API under load";

/// What is compared: what, ours, a peer or floor of the same run where there is one, and what is wanted of ours.
const ROWS: &[(&str, &str, Option<&str>, Wanted)] = &[
    (
        "creates accepted a second, flat out, 64 clients",
        "creates_flat_out_per_s",
        Some("floor_commits_per_s"),
        Wanted::AtLeast(300.0),
    ),
    (
        "creates flat out, 64 clients, p99 ms",
        "creates_flat_out_p99_ms",
        None,
        Wanted::AtMost(100.0),
    ),
    (
        "create at 200/s, p99 ms",
        "creates_at_200_p99_ms",
        None,
        Wanted::AtMost(100.0),
    ),
    (
        "create at 300/s, p99 ms",
        "creates_at_300_p99_ms",
        None,
        Wanted::AtMost(100.0),
    ),
    (
        "create at 400/s, p99 ms",
        "creates_at_400_p99_ms",
        None,
        Wanted::Nothing,
    ),
    (
        "create at 600/s, p99 ms",
        "creates_at_600_p99_ms",
        None,
        Wanted::Nothing,
    ),
    (
        "1,000 creates at once, refused or lost",
        "creates_at_once_1000_refused",
        None,
        Wanted::AtMost(0.0),
    ),
    (
        "1,000 creates at once, p99 ms",
        "creates_at_once_1000_p99_ms",
        None,
        Wanted::Nothing,
    ),
    (
        "GET /healthz at 100/s, p99 ms",
        "healthz_p99_ms",
        Some("bare_p99_ms"),
        Wanted::AtMost(5.0),
    ),
    (
        "GET of one sandbox at 100/s, p99 ms",
        "get_p99_ms",
        Some("bare_p99_ms"),
        Wanted::AtMost(5.0),
    ),
    (
        "the same among 100,000 records, p99 ms",
        "get_of_many_p99_ms",
        Some("bare_p99_ms"),
        Wanted::AtMost(5.0),
    ),
    ("page of 100, p99 ms", "page_plain_p99_ms", None, Wanted::AtMost(20.0)),
    (
        "page with destroyed ones, p99 ms",
        "page_all_p99_ms",
        None,
        Wanted::AtMost(20.0),
    ),
    ("page by state, p99 ms", "page_state_p99_ms", None, Wanted::AtMost(20.0)),
    ("page by label, p99 ms", "page_label_p99_ms", None, Wanted::AtMost(20.0)),
    (
        "page by label and state, p99 ms",
        "page_label_and_state_p99_ms",
        None,
        Wanted::AtMost(20.0),
    ),
    (
        "page by a label that nothing has, p99 ms",
        "page_label_of_nobody_p99_ms",
        None,
        Wanted::AtMost(20.0),
    ),
    ("page by run, p99 ms", "page_run_p99_ms", None, Wanted::AtMost(20.0)),
    (
        "page by profile and kind of caller, p99 ms",
        "page_profile_and_actor_p99_ms",
        None,
        Wanted::AtMost(20.0),
    ),
    (
        "native: create until ready, p50 ms; floor: an engine without a server",
        "native_over_http_p50_ms",
        Some("native_within_p50_ms"),
        Wanted::Times(1.5),
    ),
    (
        "native: create, exec, destroy, a connection each, p50 ms",
        "native_round_trip_p50_ms",
        None,
        Wanted::Nothing,
    ),
    (
        "memory after all of it, MiB",
        "rss_end_mib",
        Some("rss_begin_mib"),
        Wanted::AtMost(150.0),
    ),
];

#[derive(Clone, Copy)]
enum Wanted {
    AtLeast(f64),
    AtMost(f64),
    /// So many times the floor at most.
    Times(f64),
    Nothing,
}

/// Measures, prints, and writes where that is wanted.
pub(super) fn run(writes: super::Writes) -> Outcome {
    let example = ["--example", "http_bench", "--package", "sandboxer-server"];
    process::run(
        workspace::cargo()
            .args(["build", "--release", "--locked"])
            .args(example),
    )?;
    // Not below /tmp, which may be kept in memory.
    let folder = std::path::PathBuf::from(format!("/var/tmp/sbx-bench-http-{}", std::process::id()));
    let mut command = process::command(workspace::target_dir().join("release/examples/http_bench"));
    command.stderr(std::process::Stdio::inherit());
    let measured = std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))
        .and_then(|()| process::capture(command.arg(&folder)));
    let _ = std::fs::remove_dir_all(&folder);
    let figures: BTreeMap<String, f64> =
        serde_json::from_str(&measured?).map_err(|error| format!("cannot read the figures: {error}"))?;
    let section = render(&figures);
    println!("{section}");
    if writes == super::Writes::Result {
        let text = put_at(HEADING, &section, &workspace::read("bench/RESULTS.md")?);
        workspace::write(&workspace::root().join("bench/RESULTS.md"), &text)?;
    }
    Ok(())
}

fn render(figures: &BTreeMap<String, f64>) -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut text = format!(
        "{HEADING}\n\nMade by `cargo xtask bench --only http --write`. One server in a process of its own, over a store on disk and backends \
         in memory that do nothing; clients on the same machine over the loopback. A create that is answered is on disk. The floor of creates is bare SQLite: \
         commits of one row of the same size, each on disk before the next; that of reads is bare axum with as many bytes. Paced \
         requests are timed from when they were due. Load average when it ended: {}.\n\n| what | ours | floor | ours ÷ floor | target | |\n|---|---:|---:|---:|---|---|\n",
        load.trim()
    );
    for (what, ours, floor, wanted) in ROWS {
        let Some(ours) = figures.get(*ours) else { continue };
        let floor = floor.and_then(|name| figures.get(name));
        let times = floor.map_or(f64::INFINITY, |floor| ours / floor);
        let (floor, ratio) = match floor {
            Some(floor) => (format!("{floor:.2}"), format!("{:.2}", ours / floor)),
            None => ("–".into(), "–".into()),
        };
        let (target, verdict) = match wanted {
            Wanted::AtLeast(least) => (format!("≥ {least}"), verdict(ours >= least)),
            Wanted::AtMost(most) => (format!("≤ {most}"), verdict(ours <= most)),
            Wanted::Times(most) => (format!("≤ {most} × floor"), verdict(times <= *most)),
            Wanted::Nothing => ("–".into(), ""),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {what} | {ours:.2} | {floor} | {ratio} | {target} | {verdict} |"
        );
    }
    text
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**NOT met**" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_is_missed_is_shown() {
        let figures = [("healthz_p99_ms", 6.0), ("bare_p99_ms", 2.0), ("get_p99_ms", 4.0)];
        let text = render(&figures.map(|(name, figure)| (name.to_owned(), figure)).into());
        assert!(text.contains("| GET /healthz at 100/s, p99 ms | 6.00 | 2.00 | 3.00 | ≤ 5 | **NOT met** |"));
        assert!(text.contains("| GET of one sandbox at 100/s, p99 ms | 4.00 | 2.00 | 2.00 | ≤ 5 | met |"));
    }
}
