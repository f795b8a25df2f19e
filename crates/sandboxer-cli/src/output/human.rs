//! Figures as people read them.

use std::time::Duration;

use jiff::Timestamp;

/// A duration in at most two units, such as `3m 20s`.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => pair(seconds / 60, "m", seconds % 60, "s"),
        3600..86_400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

fn pair(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit} {small}{small_unit}")
    }
}

/// Time from `earlier` to `later`; `0s` when they are the wrong way round.
pub(crate) fn between(earlier: Timestamp, later: Timestamp) -> String {
    span(u64::try_from(later.duration_since(earlier).as_secs()).unwrap_or(0))
}

/// How long a step took.
pub(crate) fn took(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..10_000 => format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10),
        10_000..1_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_at_most_two_units() {
        assert_eq!(
            [0, 59, 60, 200, 7200, 90_061].map(span),
            ["0s", "59s", "1m", "3m 20s", "2h", "1d 1h"]
        );
        assert_eq!(
            [7, 1234, 12_345, 1_500_000].map(|micros| took(Duration::from_micros(micros))),
            ["0.00 ms", "1.23 ms", "12 ms", "1.5 s"]
        );
    }
}
