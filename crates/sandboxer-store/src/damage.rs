//! Rows that cannot be understood. One of them must neither hide the others nor be taken for something it is not: whoever
//! asks for all gets the rest, whoever asks for that one gets an error that names it, and both are remembered.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use rusqlite::types::ValueRef;
use rusqlite::{Params, Row};

use crate::error::StoreError;
use crate::open::Store;

/// Rows that are remembered at most.
const REMEMBERED: usize = 100;

/// A row that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// In which table.
    pub table: &'static str,
    /// Its key, the parts separated by spaces.
    pub row: String,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row `{}` of table `{}`: {}", self.row, self.table, self.why)
    }
}

/// A table and the columns that name its rows.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) key: &'static [&'static str],
}

const fn table(name: &'static str, key: &'static [&'static str]) -> Table {
    Table { name, key }
}

pub(crate) const SANDBOXES: Table = table("sandbox", &["id"]);
pub(crate) const FROZEN: Table = table("frozen", &["sandbox_id"]);
pub(crate) const OPERATIONS: Table = table("operation", &["id"]);
pub(crate) const STEPS: Table = table("operation_step", &["operation_id", "seq"]);
pub(crate) const EVENTS: Table = table("event", &["sandbox_id", "seq"]);
pub(crate) const METERS: Table = table("meter", &["sandbox_id", "meter", "period"]);
pub(crate) const RESERVATIONS: Table = table("reservation", &["sandbox_id"]);
pub(crate) const KEYS: Table = table("idempotency", &["key"]);
pub(crate) const HOSTS: Table = table("host", &["name"]);
pub(crate) const SINKS: Table = table("sink", &["id"]);
pub(crate) const DELIVERIES: Table = table("delivery", &["sink_id", "sandbox_id"]);
pub(crate) const RECONCILERS: Table = table("reconciler", &["name"]);
pub(crate) const SIGHTINGS: Table = table("sighting", &["topic", "thing"]);
pub(crate) const API_KEYS: Table = table("api_key", &["id"]);
pub(crate) const PROJECTS: Table = table("project", &["name"]);
pub(crate) const AUDIT: Table = table("audit", &["seq"]);
pub(crate) const REQUESTS: Table = table("request", &["key"]);
pub(crate) const ALIVE: Table = table("alive", &["sandbox_id"]);

/// What was noticed so far.
#[derive(Default)]
pub(crate) struct Noticed(Mutex<BTreeSet<Damage>>);

impl Noticed {
    fn add(&self, damage: Damage) {
        let mut noticed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noticed.len() < REMEMBERED {
            noticed.insert(damage);
        }
    }
}

impl Store {
    /// The damaged rows that were come across since this store was opened, at most a hundred.
    pub fn noticed_damage(&self) -> Vec<Damage> {
        let noticed = self.noticed().0.lock().unwrap_or_else(PoisonError::into_inner);
        noticed.iter().cloned().collect()
    }

    /// The first row, read. A damaged one is an error that names it.
    pub(crate) fn one_of<T>(
        &self,
        table: &Table,
        sql: &str,
        values: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.one(sql, values, |row| {
            read(row).map_err(|error| self.in_row(table, row, error))
        })
    }

    /// Every row, read. A damaged one is an error that names it: for what means nothing with a gap in it.
    pub(crate) fn all_of<T>(
        &self,
        table: &Table,
        sql: &str,
        values: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.rows(sql, values, |row| {
            read(row).map_err(|error| self.in_row(table, row, error))
        })
    }

    /// Every row that can be read. Damaged ones are left out and remembered.
    pub(crate) fn readable<T>(
        &self,
        table: &Table,
        sql: &str,
        values: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.rows(sql, values, |row| self.unless_damaged(table, row, read(row)))?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// `None` for a row that is damaged, which is remembered.
    pub(crate) fn unless_damaged<T>(
        &self,
        table: &Table,
        row: &Row<'_>,
        read: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match read.map_err(|error| self.in_row(table, row, error)) {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An error over a row says which row it is.
    pub(crate) fn in_row(&self, table: &Table, row: &Row<'_>, error: StoreError) -> StoreError {
        let StoreError::Corrupt { path, why } = error else {
            return error;
        };
        let damage = Damage {
            table: table.name,
            row: name_of(table, row),
            why,
        };
        self.noticed().add(damage.clone());
        StoreError::Damaged { path, damage }
    }
}

fn name_of(table: &Table, row: &Row<'_>) -> String {
    let parts = table.key.iter().filter_map(|column| row.get_ref(*column).ok());
    let texts: Vec<String> = parts
        .map(|value| match value {
            ValueRef::Null => "NULL".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        })
        .collect();
    texts.join(" ")
}
