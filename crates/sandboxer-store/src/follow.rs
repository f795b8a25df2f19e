//! Events of all sandboxes in the order of their commits, so that somebody who follows them misses none.

use rusqlite::{Row, params};
use sandboxer_model::event::Event;

use crate::damage;
use crate::error::StoreError;
use crate::listing::Viewer;
use crate::open::Store;

/// An event and its place among all.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedEvent {
    /// 1, 2, 3 … without gaps, over all sandboxes, in the order of commits.
    pub position: u64,
    /// The event.
    pub event: Event,
}

impl Store {
    /// Events after this position that a viewer may see, in order. When they are fewer than `limit`, there were no more.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn events_after(
        &self,
        position: u64,
        limit: u32,
        viewer: &Viewer,
    ) -> Result<Vec<PlacedEvent>, StoreError> {
        let after = i64::try_from(position).unwrap_or(i64::MAX);
        let read = |row: &Row<'_>| {
            Ok(PlacedEvent {
                position: self.unsigned(row, "position")?,
                event: self.read_event(row)?,
            })
        };
        // Each by its key, in the order of positions.
        let event =
            "SELECT position, event.sandbox_id AS sandbox_id, event.seq AS seq, event.record AS record FROM placed";
        let joined = "CROSS JOIN event ON event.sandbox_id = placed.sandbox_id AND event.seq = placed.seq";
        let seen = "CROSS JOIN listing ON listing.id = placed.sandbox_id AND listing.project = ?3";
        let end = "WHERE position > ?1 ORDER BY position LIMIT ?2";
        match (&viewer.project, &viewer.owner) {
            (None, _) => {
                let sql = format!("{event} {joined} {end}");
                self.readable(&damage::EVENTS, &sql, params![after, limit], read)
            }
            (Some(project), None) => {
                let sql = format!("{event} {seen} {joined} {end}");
                self.readable(&damage::EVENTS, &sql, params![after, limit, project], read)
            }
            (Some(project), Some(owner)) => {
                let own = "AND (listing.owner = ?4 OR listing.scope = 'shared')";
                let sql = format!("{event} {seen} {own} {joined} {end}");
                self.readable(&damage::EVENTS, &sql, params![after, limit, project, owner], read)
            }
        }
    }

    /// The position of the last event; 0: there is none.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn last_position(&self) -> Result<u64, StoreError> {
        let sql = "SELECT COALESCE(MAX(position), 0) AS position FROM placed";
        Ok(self.one(sql, (), |row| self.unsigned(row, "position"))?.unwrap_or(0))
    }
}
