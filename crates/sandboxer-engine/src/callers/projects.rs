//! What projects may use.

use sandboxer_api::identity::{Project, SetProject};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_store::ProjectLimits;

use crate::engine::Engine;
use crate::prepare::check_name;

impl Engine {
    /// Every project that has limits of its own, a key or a sandbox, in order of name.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn projects(&self) -> Result<Vec<Project>, UserError> {
        Ok(self.ports.store.projects().await?)
    }

    /// What a project may use, and how much of it is used. One that nobody ever set has the defaults.
    ///
    /// # Errors
    /// `InvalidInput` when that is no name of a project, and those of the store.
    pub async fn project(&self, project: &str) -> Result<Project, UserError> {
        check_name("the project", project)?;
        Ok(self.ports.store.project(project).await?)
    }

    /// What a project may use, without counting what it does use.
    ///
    /// # Errors
    /// `InvalidInput` when that is no name of a project, and those of the store.
    pub async fn limits_of(&self, project: &str) -> Result<ProjectLimits, UserError> {
        check_name("the project", project)?;
        Ok(self.ports.store.limits_of(project).await?)
    }

    /// Sets what a project may use; what is left out stays as it is.
    ///
    /// # Errors
    /// `InvalidInput`, and those of the store.
    pub async fn set_project(&self, project: &str, set: &SetProject) -> Result<Project, UserError> {
        check_name("the project", project)?;
        for (what, figure) in [("creates_per_second", set.creates_per_second), ("burst", set.burst)] {
            if figure == Some(0) {
                let why = format!("`{what}` is at least 1");
                return Err(UserError::new(ErrorCode::InvalidInput, why)
                    .hint("to let a project make nothing, set `max_live` to 0"));
            }
        }
        Ok(self.ports.store.set_project(project, set).await?)
    }
}
