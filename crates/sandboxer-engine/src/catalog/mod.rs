//! The profiles of this installation.

use std::collections::BTreeMap;
use std::path::Path;

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::profile::Profile;

/// The profiles of this installation, in layers.
#[derive(Debug, Clone, Default)]
pub struct Catalog {}

/// A profile that was found.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The profile.
    pub profile: Profile,
    /// Where it came from.
    pub source: String,
}

impl Catalog {
    /// Finds a profile by id or path.
    ///
    /// # Errors
    /// There is none.
    pub fn resolve(&self, name: &str, _working_dir: &Path) -> Result<Resolved, UserError> {
        Err(UserError::new(
            ErrorCode::NotFound,
            format!("no profile is called `{name}`"),
        ))
    }
}

/// Validation of inputs.
pub mod inputs {
    use super::{BTreeMap, Path, Profile, UserError};

    /// Checks inputs against the profile.
    ///
    /// # Errors
    /// An input is wrong.
    pub fn validate(
        _: &Profile,
        given: &BTreeMap<String, String>,
        _: &Path,
    ) -> Result<BTreeMap<String, String>, UserError> {
        Ok(given.clone())
    }
}
