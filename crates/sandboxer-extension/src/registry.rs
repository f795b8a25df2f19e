//! The extensions of one process, by id.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::contract::Extension;

/// The extensions of one process, by id.
#[derive(Clone, Default)]
pub struct Registry {
    extensions: BTreeMap<String, Arc<dyn Extension>>,
}

/// Why an extension was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The id is taken.
    #[error("two extensions call themselves `{0}`")]
    Duplicate(String),
    /// Neither routing nor people could make sense of it.
    #[error("extension `{0}` declares no isolation level")]
    NoIsolationLevel(String),
}

impl Registry {
    /// No extension.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Adds one.
    ///
    /// # Errors
    /// The id is taken, or no isolation level is declared.
    pub fn register(&mut self, extension: Arc<dyn Extension>) -> Result<(), RegistryError> {
        let manifest = extension.manifest();
        if manifest.capabilities.isolation_levels.is_empty() {
            return Err(RegistryError::NoIsolationLevel(manifest.id.clone()));
        }
        if self.extensions.contains_key(&manifest.id) {
            return Err(RegistryError::Duplicate(manifest.id.clone()));
        }
        self.extensions.insert(manifest.id.clone(), extension);
        Ok(())
    }

    /// The extension of this id.
    pub fn get(&self, id: &str) -> Option<Arc<dyn Extension>> {
        self.extensions.get(id).cloned()
    }

    /// Every extension, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<dyn Extension>)> {
        self.extensions.iter().map(|(id, extension)| (id.as_str(), extension))
    }
}
