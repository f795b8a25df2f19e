//! Money in integer micro-units, and what was metered. Never floats.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Millionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// Nothing.
    pub const ZERO: Micros = Micros(0);

    /// This much per hour, for `seconds`, rounded up to the next micro-unit; saturates.
    pub fn per_hour_for(self, seconds: u64) -> Micros {
        let product = i128::from(self.0) * i128::from(seconds);
        let rounded = product.div_euclid(3600) + i128::from(product.rem_euclid(3600) != 0);
        Micros(i64::try_from(rounded).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let absolute = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:06} USD", absolute / 1_000_000, absolute % 1_000_000)
    }
}

/// What an extension asks for a sandbox, before it exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quote {
    /// Rate while it lives.
    pub per_hour: Micros,
    /// For the whole time to live.
    pub worst_case: Micros,
    /// Where the rate comes from.
    pub source: String,
}

/// What was metered for one sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Meter {
    /// Set at ready: the worst case of the quote.
    pub estimate: Option<Micros>,
    /// Set at destroy.
    pub actual: Option<Micros>,
    /// Milliseconds between ready and the proven end.
    pub duration_ms: Option<u64>,
    /// What it used, where the backend can tell.
    pub usage: Option<Usage>,
}

/// What a sandbox used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Usage {
    /// Microseconds of CPU time.
    pub cpu_us: Option<u64>,
    /// Highest memory in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Highest number of processes.
    pub pids_peak: Option<u64>,
    /// Whether any figure is sampled instead of accounted by the kernel.
    pub estimated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_round_up_and_never_drift() {
        assert_eq!(Micros(3_600_000).per_hour_for(1), Micros(1000));
        assert_eq!(Micros(1).per_hour_for(1), Micros(1));
        assert_eq!(Micros(0).per_hour_for(u64::MAX), Micros(0));
        assert_eq!(Micros(i64::MAX).per_hour_for(u64::MAX), Micros(i64::MAX));
        assert_eq!(Micros(-1_500_000).to_string(), "-1.500000 USD");
    }
}
