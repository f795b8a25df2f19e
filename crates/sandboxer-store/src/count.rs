//! Figures over all records.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::damage;
use crate::error::StoreError;
use crate::open::Store;

/// Figures over all records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Sandboxes by the name of their state.
    pub sandboxes: BTreeMap<String, u64>,
    /// Operations that are not at their end, by the name of their status.
    pub operations: BTreeMap<String, u64>,
    /// Events that were not handed to anybody.
    pub undelivered_events: u64,
    /// The earliest deadline of a sandbox that can still expire.
    pub next_deadline: Option<Timestamp>,
}

impl Store {
    /// Figures over all records.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let pairs = |table, sql: &str| {
            let pairs = self.readable(table, sql, (), |row| {
                let count = u64::try_from(self.number(row, "n")?).unwrap_or(0);
                Ok((self.text(row, "name")?, count))
            })?;
            Ok::<_, StoreError>(pairs.into_iter().collect())
        };
        let undelivered = self.one("SELECT COUNT(*) AS n FROM event WHERE delivered = 0", (), |row| {
            self.number(row, "n")
        })?;
        let deadline = "SELECT id, deadline FROM sandbox WHERE state <> 'destroyed' AND typeof(deadline) = 'integer' \
                        ORDER BY deadline LIMIT 1";
        Ok(Counts {
            sandboxes: pairs(
                &damage::SANDBOXES,
                "SELECT MIN(id) AS id, state AS name, COUNT(*) AS n FROM sandbox GROUP BY state",
            )?,
            operations: pairs(
                &damage::OPERATIONS,
                "SELECT MIN(id) AS id, status AS name, COUNT(*) AS n FROM operation WHERE is_open = 1 GROUP BY status",
            )?,
            undelivered_events: u64::try_from(undelivered.unwrap_or(0)).unwrap_or(0),
            next_deadline: self
                .readable(&damage::SANDBOXES, deadline, (), |row| self.time(row, "deadline"))?
                .pop(),
        })
    }
}
