//! Keys, projects and the audit log.

use sandboxer_api::audit::{AuditRow, AuditVerdict};
use sandboxer_api::identity::{Key, MadeKey, NewKey, Project, RotateKey, SetProject};
use sandboxer_model::error::UserError;
use sandboxer_model::sandbox::Sandbox;

use super::Service;

impl Service {
    /// Marks a sandbox as in use.
    pub(crate) async fn activate(&self, id: &str) -> Result<Sandbox, UserError> {
        match self {
            Service::Embedded(engine) => engine.activate(id).await,
            Service::Remote(client) => client.activate(&client.resolve(id).await?).await,
        }
    }

    /// Makes a key.
    pub(crate) async fn make_key(&self, new: &NewKey) -> Result<MadeKey, UserError> {
        match self {
            Service::Embedded(engine) => engine.make_key(new, None).await,
            Service::Remote(client) => client.make_key(new).await,
        }
    }

    /// Every key.
    pub(crate) async fn keys(&self) -> Result<Vec<Key>, UserError> {
        match self {
            Service::Embedded(engine) => engine.keys().await,
            Service::Remote(client) => client.keys().await,
        }
    }

    /// One key.
    pub(crate) async fn key(&self, id: &str) -> Result<Key, UserError> {
        match self {
            Service::Embedded(engine) => engine.key(id).await,
            Service::Remote(client) => client.key(id).await,
        }
    }

    /// Makes a key that takes the place of another.
    pub(crate) async fn rotate_key(&self, id: &str, how: &RotateKey) -> Result<MadeKey, UserError> {
        match self {
            Service::Embedded(engine) => engine.rotate_key(id, how, None).await,
            Service::Remote(client) => client.rotate_key(id, how).await,
        }
    }

    /// Refuses a key from now on.
    pub(crate) async fn revoke_key(&self, id: &str) -> Result<Key, UserError> {
        match self {
            Service::Embedded(engine) => engine.revoke_key(id).await,
            Service::Remote(client) => client.revoke_key(id).await,
        }
    }

    /// What every project may use.
    pub(crate) async fn projects(&self) -> Result<Vec<Project>, UserError> {
        match self {
            Service::Embedded(engine) => engine.projects().await,
            Service::Remote(client) => client.projects().await,
        }
    }

    /// What one project may use.
    pub(crate) async fn project(&self, name: &str) -> Result<Project, UserError> {
        match self {
            Service::Embedded(engine) => engine.project(name).await,
            Service::Remote(client) => client.project(name).await,
        }
    }

    /// Sets what a project may use.
    pub(crate) async fn set_project(&self, name: &str, set: &SetProject) -> Result<Project, UserError> {
        match self {
            Service::Embedded(engine) => engine.set_project(name, set).await,
            Service::Remote(client) => client.set_project(name, set).await,
        }
    }

    /// The newest rows of the audit log.
    pub(crate) async fn audit(&self, limit: u32) -> Result<Vec<AuditRow>, UserError> {
        match self {
            Service::Embedded(engine) => engine.audit(None, limit).await,
            Service::Remote(client) => client.audit(limit).await,
        }
    }

    /// Whether the audit log is whole.
    pub(crate) async fn verify_audit(&self) -> Result<AuditVerdict, UserError> {
        match self {
            Service::Embedded(engine) => engine.verify_audit().await,
            Service::Remote(client) => client.verify_audit().await,
        }
    }
}
