//! What is tried.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sandboxer_extension::Extension;
use sandboxer_extension::port::{Clock, IdSource};
use sandboxer_model::id::InstallationId;
use sandboxer_model::profile::Profile;

/// An extension, and what the suite needs to try it.
#[derive(Clone)]
pub struct Subject {
    /// The extension.
    pub extension: Arc<dyn Extension>,
    /// The clock its guard keeps time by; a virtual one makes waiting free.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub ids: Arc<dyn IdSource>,
    /// The owner written on everything the suite makes.
    pub installation_id: InstallationId,
    /// A plain profile this extension can make here; trials change copies of it.
    pub profile: Profile,
    /// Inputs that go with the profile.
    pub inputs: BTreeMap<String, String>,
    /// Where, for extensions that need a host.
    pub host: Option<String>,
    /// Services that answer this machine and that a closed sandbox must not reach, besides one that the suite starts
    /// on this machine's loopback: for sandboxes elsewhere, those of the machine they are on.
    pub neighbours: Vec<SocketAddr>,
    /// How long a call takes at worst where its backend is far away or busy: deadlines of trials are so much further off.
    pub pace: Duration,
    /// How long one call may take.
    pub timeout: Duration,
    /// How long one trial may take by the wall clock before it counts as hung.
    pub patience: Duration,
}

impl Subject {
    /// A subject with generous time limits and no inputs.
    pub fn new(
        extension: Arc<dyn Extension>,
        profile: Profile,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Subject {
        let installation_id = InstallationId::from_uuid(ids.uuid());
        Subject {
            extension,
            clock,
            ids,
            installation_id,
            profile,
            inputs: BTreeMap::new(),
            host: None,
            neighbours: Vec::new(),
            pace: Duration::ZERO,
            timeout: Duration::from_secs(30),
            patience: Duration::from_secs(120),
        }
    }

    /// The tree that goes with the profile, where it needs one.
    pub fn tree(&self) -> Option<&Path> {
        self.inputs.get("repo").map(Path::new)
    }

    /// The files of that tree: a tree of a trial's own needs them as well.
    pub fn tree_files(&self) -> Vec<PathBuf> {
        let entries = self.tree().and_then(|tree| std::fs::read_dir(tree).ok());
        let mut files: Vec<PathBuf> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()).filter(|path| path.is_file()))
            .collect();
        files.sort();
        files
    }

    /// The name of one of them.
    pub fn tree_file(&self) -> Option<String> {
        let files = self.tree_files();
        Some(files.first()?.file_name()?.to_string_lossy().into_owned())
    }
}
