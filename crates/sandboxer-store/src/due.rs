//! What waits for a process to take it up.

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Row, params};
use sandboxer_extension::port::Uptime;
use sandboxer_model::id::{OperationId, SandboxId};

use crate::damage;
use crate::error::StoreError;
use crate::open::Store;

/// Something that waits for a process to take it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// An operation that another process holds or held, or that nobody holds and whose time has come.
    Operation {
        /// Which.
        operation_id: OperationId,
        /// Who holds it; empty: nobody.
        lease_owner: String,
        /// Until when an owner that cannot be asked is believed.
        lease_until: Timestamp,
    },
    /// A sandbox whose deadline passed.
    Deadline(SandboxId),
}

impl Store {
    /// What waits for a process to take it up, apart from what `me` is doing itself: one indexed query.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn due(&self, me: &str, limit: u32) -> Result<Vec<Due>, StoreError> {
        let now = self.clock().now().as_microsecond();
        let Uptime { boot, since } = self.clock().uptime();
        let since = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        // Nobody waits for two hours: whoever seems to saw a calendar that was set back since.
        // The calendar decides only where the uptime cannot. (Parameters count by where they stand first.)
        let sql = "SELECT id, lease_owner, lease_until FROM operation WHERE is_open = 1 AND lease_owner <> $1 \
                   AND (lease_owner <> '' OR lease_until <= $2 OR lease_until > $2 + 7200000000) UNION ALL \
                   SELECT id, NULL, deadline FROM sandbox WHERE boot = $3 AND deadline_uptime <= $4 UNION ALL \
                   SELECT id, NULL, deadline FROM sandbox WHERE state <> 'destroyed' AND deadline <= $2 \
                   AND boot IS NOT $3 LIMIT $5";
        let table = |row: &Row<'_>| match row.get_ref("lease_owner") {
            Ok(ValueRef::Null) => &damage::SANDBOXES,
            _ => &damage::OPERATIONS,
        };
        let rows = self.rows(sql, params![me, now, boot, since, limit], |row| {
            self.unless_damaged(table(row), row, self.read_due(row))
        })?;
        Ok(rows.into_iter().flatten().collect())
    }

    fn read_due(&self, row: &Row<'_>) -> Result<Due, StoreError> {
        let id = self.text(row, "id")?;
        Ok(match self.optional(row, "lease_owner")? {
            Some(lease_owner) => Due::Operation {
                operation_id: id
                    .parse()
                    .map_err(|_| self.corrupt(format!("`{id}` is no operation id")))?,
                lease_owner,
                lease_until: self.time(row, "lease_until")?,
            },
            None => Due::Deadline(self.sandbox_id(&id)?),
        })
    }

    /// Sandboxes whose deadline passed, the longest overdue first: one indexed query. As in [`due`](Store::due), the calendar
    /// decides only where the uptime cannot.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn overdue(&self, limit: u32) -> Result<Vec<SandboxId>, StoreError> {
        let now = self.clock().now().as_microsecond();
        let Uptime { boot, since } = self.clock().uptime();
        let since = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        let sql = "SELECT id, deadline FROM sandbox WHERE boot = $1 AND deadline_uptime <= $2 UNION ALL \
                   SELECT id, deadline FROM sandbox WHERE state <> 'destroyed' AND deadline <= $3 AND boot IS NOT $1 \
                   ORDER BY deadline LIMIT $4";
        self.readable(&damage::SANDBOXES, sql, params![boot, since, now, limit], |row| {
            self.sandbox_id(&self.text(row, "id")?)
        })
    }
}
