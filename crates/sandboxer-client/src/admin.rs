//! Keys, projects, the audit log, the state of the server.

use reqwest::Method;
use sandboxer_api::audit::{AuditRow, AuditVerdict};
use sandboxer_api::identity::{Identity, Key, MadeKey, NewKey, Project, RotateKey, SetProject};
use sandboxer_api::page::{MOST, Page};
use sandboxer_api::status::Status;
use sandboxer_model::error::UserError;

use crate::address::part;
use crate::call::Call;
use crate::transport::Client;

fn key_at(id: &str) -> String {
    format!("v1/keys/{}", part(id))
}

impl Client {
    /// Who the caller is, by its key.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub async fn whoami(&self) -> Result<Identity, UserError> {
        self.ask(Call::get("v1/me")).await
    }

    /// How the whole stands.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn status(&self) -> Result<Status, UserError> {
        self.ask(Call::get("v1/status")).await
    }

    /// Makes a key. The only time its secret is shown.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn make_key(&self, new: &NewKey) -> Result<MadeKey, UserError> {
        self.ask(Call::once("v1/keys").json(new)?).await
    }

    /// Every key, without its secret.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn keys(&self) -> Result<Vec<Key>, UserError> {
        self.ask(Call::get("v1/keys")).await
    }

    /// One key, without its secret.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn key(&self, id: &str) -> Result<Key, UserError> {
        self.ask(Call::get(key_at(id))).await
    }

    /// Makes a key that takes the place of another.
    ///
    /// # Errors
    /// `NotFound`, `WrongState`.
    pub async fn rotate_key(&self, id: &str, how: &RotateKey) -> Result<MadeKey, UserError> {
        self.ask(Call::once(format!("{}/rotate", key_at(id))).json(how)?).await
    }

    /// Refuses a key from now on.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_key(&self, id: &str) -> Result<Key, UserError> {
        // It is refused however often that is asked for.
        self.ask(Call::other(Method::DELETE, key_at(id)).repeatable()).await
    }

    /// What every project may use, and uses.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn projects(&self) -> Result<Vec<Project>, UserError> {
        self.ask(Call::get("v1/projects")).await
    }

    /// What one project may use, and uses.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn project(&self, name: &str) -> Result<Project, UserError> {
        self.ask(Call::get(format!("v1/projects/{}", part(name)))).await
    }

    /// Sets what a project may use.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn set_project(&self, name: &str, set: &SetProject) -> Result<Project, UserError> {
        let path = format!("v1/projects/{}", part(name));
        // It is so however often it is set.
        self.ask(Call::other(Method::PUT, path).repeatable().json(set)?).await
    }

    /// The newest rows of the audit log, newest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn audit(&self, limit: u32) -> Result<Vec<AuditRow>, UserError> {
        let mut rows: Vec<AuditRow> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let left = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
            if left == 0 {
                return Ok(rows);
            }
            let call = Call::get("v1/audit")
                .query("limit", left.min(MOST).to_string())
                .query_if("cursor", cursor.as_deref());
            let mut page: Page<AuditRow> = self.ask(call).await?;
            rows.append(&mut page.items);
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(rows),
            }
        }
    }

    /// Whether the audit log is whole.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn verify_audit(&self) -> Result<AuditVerdict, UserError> {
        self.ask(Call::post("v1/audit/verify")).await
    }
}
