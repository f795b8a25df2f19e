//! What projects may use.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sandboxer_api::identity::{Project, SetProject};

use crate::commit::Durability;
use crate::damage;
use crate::error::StoreError;
use crate::open::Store;

/// Live sandboxes of a project that was never told otherwise.
const MAX_LIVE: u32 = 50;
/// Its creates per second.
const CREATES_PER_SECOND: u32 = 10;
/// Its creates at once.
const BURST: u32 = 50;

/// Each state that is not `destroyed`, so that the index answers.
const LIVE: &str = "SELECT COUNT(*) FROM listing WHERE project = $1 AND state IN \
                    ('requested', 'provisioning', 'ready', 'active', 'expired', 'destroying', 'failed')";
const PROJECT: &str = "SELECT name, max_live, creates_per_second, burst FROM project";

/// What a project may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectLimits {
    /// Sandboxes that are not destroyed.
    pub max_live: u32,
    /// Creates per second.
    pub creates_per_second: u32,
    /// Creates at once.
    pub burst: u32,
}

impl Store {
    /// Every project that has limits of its own, a key or a sandbox, in order of name.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        let names = "SELECT name FROM project UNION SELECT record ->> '$.project' AS name FROM api_key \
                     WHERE json_valid(record) UNION SELECT DISTINCT project AS name FROM listing \
                     WHERE project IS NOT NULL ORDER BY name";
        let names = self.rows(names, (), |row| self.optional(row, "name"))?;
        names.iter().flatten().map(|name| self.read_project_of(name)).collect()
    }

    /// What a project may use, and how much of it is used.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn project(&self, name: &str) -> Result<Project, StoreError> {
        self.read_project_of(name)
    }

    /// What a project may use.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn limits_of(&self, name: &str) -> Result<ProjectLimits, StoreError> {
        let project = self.read_limits_of(name)?;
        Ok(ProjectLimits {
            max_live: project.max_live,
            creates_per_second: project.creates_per_second,
            burst: project.burst,
        })
    }

    fn read_limits_of(&self, name: &str) -> Result<Project, StoreError> {
        let sql = format!("{PROJECT} WHERE name = $1");
        let set = self.one_of(&damage::PROJECTS, &sql, [name], |row| self.read_project(row))?;
        Ok(set.unwrap_or_else(|| unset(name)))
    }

    fn read_project_of(&self, name: &str) -> Result<Project, StoreError> {
        let live = self.one(LIVE, [name], |row| {
            row.get::<_, i64>(0).map_err(|error| self.classify(&error))
        })?;
        Ok(Project {
            live: live.and_then(|live| u32::try_from(live).ok()).unwrap_or(u32::MAX),
            ..self.read_limits_of(name)?
        })
    }

    pub(crate) fn read_project(&self, row: &Row<'_>) -> Result<Project, StoreError> {
        let figure = |column| {
            let number = self.unsigned(row, column)?;
            u32::try_from(number).map_err(|_| self.corrupt(format!("column {column}: `{number}` is too much")))
        };
        Ok(Project {
            project: self.text(row, "name")?,
            max_live: figure("max_live")?,
            creates_per_second: figure("creates_per_second")?,
            burst: figure("burst")?,
            live: 0,
        })
    }

    /// Sets what a project may use; what is left out stays as it is.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn set_project(&self, name: &str, set: &SetProject) -> Result<Project, StoreError> {
        let (project, set) = (name.to_owned(), *set);
        self.change(Durability::Acknowledged, move |store, transaction| {
            let wrong = |error: rusqlite::Error| store.classify(&error);
            let row = transaction
                .prepare_cached(&format!("{PROJECT} WHERE name = $1"))
                .and_then(|mut statement| {
                    statement
                        .query_row([&project], |row| Ok(store.read_project(row)))
                        .optional()
                })
                .map_err(wrong)?;
            let now = match row {
                // What cannot be understood is put right by whoever sets it anew.
                None | Some(Err(StoreError::Corrupt { .. })) => unset(&project),
                Some(read) => read?,
            };
            transaction
                .execute(
                    "INSERT INTO project (name, max_live, creates_per_second, burst) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (name) DO UPDATE SET max_live = excluded.max_live, \
                     creates_per_second = excluded.creates_per_second, burst = excluded.burst",
                    params![
                        project,
                        set.max_live.unwrap_or(now.max_live),
                        set.creates_per_second.unwrap_or(now.creates_per_second),
                        set.burst.unwrap_or(now.burst),
                    ],
                )
                .map_err(wrong)?;
            Ok(())
        })
        .await?;
        self.project(name).await
    }
}

/// What a project may use that was never told otherwise.
fn unset(name: &str) -> Project {
    Project {
        project: name.to_owned(),
        max_live: MAX_LIVE,
        creates_per_second: CREATES_PER_SECOND,
        burst: BURST,
        live: 0,
    }
}

/// Sandboxes of a project that are not destroyed.
pub(crate) fn count_live(connection: &Connection, project: &str) -> rusqlite::Result<u64> {
    let live: i64 = connection
        .prepare_cached(LIVE)?
        .query_row([project], |row| row.get(0))?;
    Ok(u64::try_from(live).unwrap_or(0))
}

/// Sandboxes a project may have that are not destroyed.
pub(crate) fn most_live(connection: &Connection, project: &str) -> rusqlite::Result<u32> {
    let set = connection
        .prepare_cached("SELECT max_live FROM project WHERE name = $1")?
        .query_row([project], |row| row.get(0))
        .optional()?;
    Ok(set.unwrap_or(MAX_LIVE))
}

#[cfg(test)]
mod tests {
    use sandboxer_model::lifecycle::State;

    use super::*;

    #[test]
    fn every_live_state_counts() {
        for state in State::ALL {
            assert_eq!(
                LIVE.contains(&format!("'{}'", state.name())),
                !state.is_gone(),
                "{state}"
            );
        }
    }
}
