//! The profiles and extensions of a server.

use sandboxer_api::catalog::Listed;
use sandboxer_extension::{Capabilities, Manifest};
use sandboxer_model::error::UserError;
use sandboxer_model::profile::Profile;
use serde::{Deserialize, Serialize};

use crate::address::part;
use crate::call::Call;
use crate::transport::Client;

/// What an extension says of itself, and what of that it can do where the server runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownExtension {
    /// What it says of itself.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// What of that it can do there, where the server says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<Capabilities>,
}

impl Client {
    /// The profiles there are.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn profiles(&self) -> Result<Vec<Listed>, UserError> {
        self.ask(Call::get("v1/profiles")).await
    }

    /// One profile, with every default filled in.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn profile(&self, id: &str) -> Result<Profile, UserError> {
        self.ask(Call::get(format!("v1/profiles/{}", part(id)))).await
    }

    /// The extensions there are.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn extensions(&self) -> Result<Vec<Manifest>, UserError> {
        self.ask(Call::get("v1/extensions")).await
    }

    /// One extension.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn extension(&self, id: &str) -> Result<ShownExtension, UserError> {
        self.ask(Call::get(format!("v1/extensions/{}", part(id)))).await
    }
}
