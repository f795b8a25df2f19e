//! Reading what a host's program says of the host (`shell/snapshot.sh`).

use sandboxer_model::host::HostSnapshot;

/// Lines `load 0.1 0.2 0.3`, `cpus 2`, `mem TOTAL_KB AVAILABLE_KB`, `disk USED_PERCENT AVAILABLE_KB` and
/// `containers RUNNING OURS`. Hostile data: what cannot be read is unknown.
pub fn parse(text: &str) -> HostSnapshot {
    let mut snapshot = HostSnapshot::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["load", one, five, fifteen] => {
                snapshot.load_1m = real(one);
                snapshot.load_5m = real(five);
                snapshot.load_15m = real(fifteen);
            }
            ["cpus", count] => snapshot.cpu_count = count.parse().ok(),
            ["mem", total, available] => {
                snapshot.mem_total_mb = mib(total);
                snapshot.mem_available_mb = mib(available);
            }
            ["disk", used, available] => {
                snapshot.disk_root_used_pct = real(used).filter(|percent| *percent <= 100.0);
                // Hundredths are as exact as anybody needs.
                snapshot.disk_root_avail_gb = real(available).map(|kib| (kib / 10_485.76).round() / 100.0);
            }
            ["containers", running, ours] => {
                snapshot.running_containers = running.parse().ok();
                snapshot.sandbox_containers = ours.parse().ok();
            }
            _ => {}
        }
    }
    snapshot
}

fn real(text: &str) -> Option<f64> {
    text.parse::<f64>()
        .ok()
        .filter(|number| number.is_finite() && *number >= 0.0)
}

fn mib(kib: &str) -> Option<u64> {
    kib.parse::<u64>().ok().map(|kib| kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_and_nonsense_is_unknown() {
        let read = parse("load 0.5 1 2\ncpus 2\nmem 2048 1024\ndisk 25 1048576\ncontainers 3 2\nwhat\nmem x y z");
        assert_eq!(read.load_1m, Some(0.5));
        assert_eq!((read.mem_total_mb, read.mem_available_mb), (Some(2), Some(1)));
        assert_eq!(read.disk_root_avail_gb, Some(1.0));
        assert_eq!(read.sandbox_containers, Some(2));
        assert_eq!(
            parse("load nan -1 inf\ncpus -3\ndisk 400 x\nmem"),
            HostSnapshot::default()
        );
    }
}
