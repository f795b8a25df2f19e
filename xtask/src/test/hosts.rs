//! The machines all tests share, and what the tests left on them.

use std::path::Path;
use std::time::{Duration, Instant};

use sandboxer_testbed::audit::Audit;
use sandboxer_testbed::{Shared, Unavailable};

/// What is on its way out of a host may take this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The machines, with what was on each before.
pub(super) struct Hosts {
    shared: Option<Shared>,
    before: Vec<Result<Audit, Unavailable>>,
}

impl Hosts {
    /// Brings them up. Where there can be none, each test that wants one says so itself.
    pub(super) fn start(file: &Path) -> Hosts {
        let started = Instant::now();
        let shared = Shared::start(file);
        if let Err(error) = &shared {
            eprintln!("   no shared hosts: {error}");
        }
        let shared = shared.ok();
        for (flavour, lack) in shared.iter().flat_map(Shared::lacks) {
            eprintln!("   no host with {flavour}: {lack}");
        }
        let hosts = shared.as_ref().map_or(&[][..], Shared::hosts);
        if !hosts.is_empty() {
            eprintln!(
                "   {} hosts up after {:.1} s",
                hosts.len(),
                started.elapsed().as_secs_f64()
            );
        }
        let before = hosts.iter().map(sandboxer_testbed::Host::audit).collect();
        Hosts { shared, before }
    }

    /// Takes them down; what the tests left on them, one line each.
    pub(super) fn down(self) -> Vec<String> {
        let Some(shared) = self.shared else { return Vec::new() };
        let mut left = Vec::new();
        for (host, before) in shared.hosts().iter().zip(self.before) {
            let name = host.compose().name();
            match before.and_then(|before| host.leftovers(&before, PATIENCE, |_| false)) {
                Ok(lines) => left.extend(lines.iter().map(|line| format!("on the host with {name}: {line}"))),
                // Not being able to look is not the same as nothing there.
                Err(error) => left.push(format!("on the host with {name}: unknown: {error}")),
            }
        }
        shared.down();
        left
    }
}
