//! What is tried.

use std::collections::BTreeMap;
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
            timeout: Duration::from_secs(30),
            patience: Duration::from_secs(120),
        }
    }
}
