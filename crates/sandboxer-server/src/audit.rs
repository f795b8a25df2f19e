//! What goes into the audit log: every call that may change something, and every call that was refused to a known key.

use std::sync::{Arc, Mutex, PoisonError};

use sandboxer_api::identity::Identity;
use sandboxer_engine::api::AuditEntry;

/// What a call turned out to be about.
#[derive(Clone, Default)]
pub(crate) struct Object(Arc<Mutex<Option<String>>>);

impl Object {
    /// It is about this, which is known to be a thing: what only somebody sent may be a secret in the wrong place.
    pub(crate) fn set(&self, name: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
    }

    /// What it is about.
    pub(crate) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The row of a call.
pub(crate) fn entry(
    action: &str,
    object: &Object,
    identity: &Identity,
    address: Option<String>,
    request_id: &str,
    status: u16,
) -> AuditEntry {
    AuditEntry {
        action: action.to_owned(),
        object: object.get(),
        key_id: Some(identity.key_id.clone()),
        name: Some(identity.name.clone()),
        project: identity.project.clone(),
        address,
        request_id: Some(request_id.to_owned()),
        status,
    }
}
