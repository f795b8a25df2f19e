//! Profiles and extensions, of this machine or of a server.

use sandboxer_client::{Client, ShownExtension};
use sandboxer_engine::catalog::{Listed, Resolved};
use sandboxer_extension::Manifest;
use sandboxer_model::document::Diagnostic;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::profile::Profile;
use serde::Serialize;

use crate::context::{Context, Warm};

/// The catalog as `profiles list` prints it.
#[derive(Serialize)]
pub(crate) struct Catalogue {
    /// Profiles that can be used.
    pub(crate) profiles: Vec<Listed>,
    /// Files that cannot, and why. A server keeps those to itself.
    pub(crate) problems: Vec<Diagnostic>,
}

/// A profile as `profiles show` prints it.
#[derive(Serialize)]
pub(crate) struct ShownProfile {
    /// Where it comes from: `shipped`, or a file.
    pub(crate) source: String,
    /// Profiles of the same name that it hides.
    pub(crate) overrides: Vec<String>,
    /// What a sandbox made from it records.
    pub(crate) digest: String,
    /// All of it.
    pub(crate) profile: Profile,
}

/// Whether this names a file and no profile of a catalog.
pub(crate) fn is_file(name: &str) -> bool {
    name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml")
}

impl Context {
    /// Every profile.
    ///
    /// # Errors
    /// Those of a server.
    pub(crate) async fn profiles(&self) -> Result<Catalogue, UserError> {
        match self.remote()? {
            None => {
                let (profiles, problems) = self.catalog().list(&self.working_dir);
                Ok(Catalogue { profiles, problems })
            }
            Some(client) => Ok(Catalogue {
                profiles: client.profiles().await?,
                problems: Vec::new(),
            }),
        }
    }

    /// One profile. A file is read here, whoever does the work.
    ///
    /// # Errors
    /// Those of the catalog, `NotFound`.
    pub(crate) async fn profile(&self, name: &str) -> Result<ShownProfile, UserError> {
        if let Some(client) = self.remote()?.filter(|_| !is_file(name)) {
            return profile_there(&client, name).await;
        }
        let Resolved {
            profile,
            source,
            overrides,
        } = self.catalog().resolve(name, &self.working_dir)?;
        Ok(ShownProfile {
            source,
            overrides,
            digest: profile.digest(),
            profile,
        })
    }

    /// What every extension says of itself.
    ///
    /// # Errors
    /// Those of a server.
    pub(crate) async fn manifests(&self) -> Result<Vec<Manifest>, UserError> {
        match self.remote()? {
            Some(client) => client.extensions().await,
            None => {
                let registry = self.extensions(Warm::No)?;
                let all = registry.iter().map(|(_, extension)| extension.manifest().clone());
                Ok(all.collect())
            }
        }
    }

    /// One extension, and what it can do where the work is done.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn extension(&self, id: &str) -> Result<ShownExtension, UserError> {
        if let Some(client) = self.remote()? {
            return client.extension(id).await;
        }
        let registry = self.extensions(Warm::No)?;
        let extension = registry.get(id).ok_or_else(|| {
            let known: Vec<&str> = registry.iter().map(|(id, _)| id).collect();
            UserError::new(ErrorCode::NotFound, format!("no extension is called `{id}`"))
                .hint(format!("this build has {}", known.join(", ")))
        })?;
        Ok(ShownExtension {
            manifest: extension.manifest().clone(),
            here: Some(extension.capabilities()),
        })
    }
}

async fn profile_there(client: &Client, name: &str) -> Result<ShownProfile, UserError> {
    let profile = client.profile(name).await?;
    let listed = client.profiles().await?.into_iter().find(|one| one.id == profile.id);
    let (source, overrides) = listed.map_or_else(Default::default, |one| (one.source, one.shadowed));
    Ok(ShownProfile {
        source,
        overrides,
        digest: profile.digest(),
        profile,
    })
}
