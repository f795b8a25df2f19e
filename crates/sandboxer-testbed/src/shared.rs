//! Machines that one run of all tests shares, one for each way to run Compose files.
//!
//! `cargo xtask test` brings them up once and names a file in `SBX_TESTBED`. A test that is run without it gets machines
//! of its own, which takes a second more.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host::{Facts, Host};
use crate::plan::{Compose, Plan};
use crate::skip::Unavailable;

/// The variable that names the file.
pub const VARIABLE: &str = "SBX_TESTBED";

/// The owner of the shared machines.
#[derive(Debug)]
pub struct Shared {
    hosts: Vec<Host>,
    /// Why some could not be.
    lacks: Vec<(Compose, Unavailable)>,
    file: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct File {
    hosts: Vec<Facts>,
}

impl Shared {
    /// Brings up one machine of each flavour at the same time, and writes the file.
    ///
    /// # Errors
    /// The file cannot be written. Machines that cannot be are [listed](Shared::lacks) instead.
    pub fn start(file: &Path) -> Result<Shared, Unavailable> {
        let starting = Compose::FLAVOURS.map(|flavour| {
            let plan = Plan::new().compose(flavour);
            (flavour, std::thread::spawn(move || Host::start(plan)))
        });
        let mut shared = Shared {
            hosts: Vec::new(),
            lacks: Vec::new(),
            file: file.to_owned(),
        };
        for (flavour, thread) in starting {
            match thread.join() {
                Ok(Ok(host)) => shared.hosts.push(host),
                Ok(Err(lack)) => shared.lacks.push((flavour, lack)),
                Err(_) => shared.lacks.push((
                    flavour,
                    Unavailable::broken("starting a shared host", "its thread failed"),
                )),
            }
        }
        let facts = shared.hosts.iter().map(|host| host.facts.clone()).collect();
        let failed = |error: std::io::Error| Unavailable::broken(format!("writing {}", file.display()), error);
        let text = serde_json::to_string_pretty(&File { hosts: facts }).map_err(|error| failed(error.into()))?;
        std::fs::write(file, text).map_err(failed)?;
        Ok(shared)
    }

    /// The machines that could not be, and why.
    pub fn lacks(&self) -> impl Iterator<Item = (&'static str, &Unavailable)> {
        self.lacks.iter().map(|(flavour, lack)| (flavour.name(), lack))
    }

    /// The machines.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The shared machine of a flavour, as a test uses it; one of its own where there is none. Others use it at the same
    /// time: what a test cuts, kills or fills should be a [machine of its own](Host::start).
    ///
    /// # Errors
    /// There can be none here.
    pub fn host(flavour: Compose) -> Result<Host, Unavailable> {
        match std::env::var_os(VARIABLE) {
            Some(file) => Shared::host_in(Path::new(&file), flavour),
            None => Host::start(Plan::new().compose(flavour)),
        }
    }

    /// The same with the file named by the caller.
    ///
    /// # Errors
    /// There can be none here.
    pub fn host_in(file: &Path, flavour: Compose) -> Result<Host, Unavailable> {
        let of_it = |file: File| file.hosts.into_iter().find(|facts| facts.compose == flavour);
        match read(file).and_then(of_it).map(Host::of).filter(Host::is_up) {
            Some(host) => Ok(host),
            None => Host::start(Plan::new().compose(flavour)),
        }
    }

    /// Takes the machines down.
    pub fn down(self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

fn read(file: &Path) -> Option<File> {
    serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()
}
