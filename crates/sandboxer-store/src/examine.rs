//! Reads every row of every table, and says which cannot be understood.

use rusqlite::Row;
use sandboxer_model::lifecycle::State;

use crate::damage::{self, Damage, Table};
use crate::error::StoreError;
use crate::open::Store;
use crate::read::{OPERATION, SANDBOX};
use crate::write;

impl Store {
    /// Every damaged row. Reads the whole file: for somebody who looks for what is wrong.
    ///
    /// # Errors
    /// `Corrupt` when the file as a whole is damaged, and those of the file.
    pub async fn examine(&self) -> Result<Vec<Damage>, StoreError> {
        let verdict = self.one("PRAGMA quick_check(1)", (), |row| self.text(row, "quick_check"))?;
        if let Some(why) = verdict.filter(|verdict| verdict != "ok") {
            return Err(self.corrupt(why.replace('\n', " ")));
        }
        let mut found = Vec::new();
        let mut scan = |table: &Table, sql: &str, read: &dyn Fn(&Row<'_>) -> Result<(), StoreError>| {
            let rows = self.rows(sql, (), |row| {
                match read(row).map_err(|error| self.in_row(table, row, error)) {
                    Ok(()) => Ok(None),
                    Err(StoreError::Damaged { damage, .. }) => Ok(Some(damage)),
                    Err(error) => Err(error),
                }
            })?;
            found.extend(rows.into_iter().flatten());
            Ok::<_, StoreError>(())
        };
        let id = |row: &Row<'_>| self.sandbox_id(&self.text(row, "sandbox_id")?).map(drop);
        let sql = SANDBOX.replace("SELECT id", "SELECT deadline, typeof(deadline) AS kind, id");
        scan(&damage::SANDBOXES, &sql, &|row| {
            let record = self.read_sandbox(row)?;
            let is_number = matches!(self.text(row, "kind")?.as_str(), "integer" | "null");
            if !is_number || self.column::<Option<i64>>(row, "deadline")? != write::deadline(&record) {
                return Err(self.corrupt("its deadline is not that of its record, so nobody ends it in time"));
            }
            Ok(())
        })?;
        scan(&damage::FROZEN, "SELECT sandbox_id, record FROM frozen", &|row| {
            id(row)?;
            self.read_frozen(row).map(drop)
        })?;
        scan(&damage::OPERATIONS, OPERATION, &|row| {
            self.read_operation(row).map(drop)
        })?;
        let sql = "SELECT operation_id, seq, name, phase, attempt, status, output, error, started_at, duration_us \
                   FROM operation_step";
        scan(&damage::STEPS, sql, &|row| {
            let id = self.text(row, "operation_id")?;
            let id = id
                .parse()
                .map_err(|_| self.corrupt(format!("`{id}` is no operation id")))?;
            self.read_step(&id, row).map(drop)
        })?;
        scan(
            &damage::EVENTS,
            "SELECT sandbox_id, seq, state, record FROM event",
            &|row| {
                let state = self.text(row, "state")?;
                State::from_name(&state).ok_or_else(|| self.corrupt(format!("`{state}` is no state")))?;
                self.read_event(row).map(drop)
            },
        )?;
        let sql = "SELECT sandbox_id, meter, period, quantity, cost_micros FROM meter";
        scan(&damage::METERS, sql, &|row| {
            id(row)?;
            self.read_meter(row).map(drop)
        })?;
        let sql = "SELECT sandbox_id, host, slots, cpu_milli, memory_mb, disk_mb FROM reservation";
        scan(&damage::RESERVATIONS, sql, &|row| {
            id(row)?;
            self.text(row, "host")?;
            for column in ["slots", "cpu_milli", "memory_mb", "disk_mb"] {
                self.unsigned(row, column)?;
            }
            Ok(())
        })?;
        scan(
            &damage::KEYS,
            "SELECT key, digest, sandbox_id FROM idempotency",
            &|row| {
                self.text(row, "digest")?;
                id(row)
            },
        )?;
        scan(&damage::HOSTS, &self.every_host(), &|row| self.read_host(row).map(drop))?;
        scan(&damage::SINKS, crate::sink::SINK, &|row| {
            self.read_due_sink(row).map(drop)
        })?;
        let sql = "SELECT sink_id, sandbox_id, delivered, target, attempts, failed_since, lease_owner, \
                   COALESCE(due_at, 0) AS due_at FROM delivery";
        scan(&damage::DELIVERIES, sql, &|row| self.read_claim(row, "", "").map(drop))?;
        scan(&damage::RECONCILERS, crate::reconcile::TURN, &|row| {
            self.read_turn(row).map(drop)
        })?;
        let sql = "SELECT topic, thing, first_at, last_at, times, why FROM sighting";
        scan(&damage::SIGHTINGS, sql, &|row| self.read_sighting(row).map(drop))?;
        scan(&damage::API_KEYS, crate::api_key::ALL, &|row| self.check_api_key(row))?;
        let sql = "SELECT name, max_live, creates_per_second, burst FROM project";
        scan(&damage::PROJECTS, sql, &|row| self.read_project(row).map(drop))?;
        let sql = "SELECT seq, at, action, object, key_id, name, project, address, request_id, status, previous, digest \
                   FROM audit";
        scan(&damage::AUDIT, sql, &|row| self.read_audit(row).map(drop))?;
        let sql = "SELECT key, digest, owner, started_at, status, body FROM request";
        scan(&damage::REQUESTS, sql, &|row| self.read_request(row).map(drop))?;
        scan(&damage::ALIVE, "SELECT sandbox_id, at FROM alive", &|row| {
            id(row)?;
            self.time(row, "at").map(drop)
        })?;
        Ok(found)
    }
}
