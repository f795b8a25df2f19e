//! Registered hosts, and what sandboxes hold of them.

use rusqlite::{Row, Transaction, params};
use sandboxer_model::id::SandboxId;
use sandboxer_model::registry::{Capacity, Host, HostState, HostStatus, Reservation, Share};

use crate::commit::Durability;
use crate::damage;
use crate::error::StoreError;
use crate::open::Store;
use crate::record::SandboxRecord;
use crate::write::signed;

const HOSTS: &str = "SELECT host.record, host.state, COUNT(reservation.sandbox_id), \
                     CAST(COALESCE(SUM(reservation.slots), 0) AS INTEGER), \
                     CAST(COALESCE(SUM(reservation.cpu_milli), 0) AS INTEGER), \
                     CAST(COALESCE(SUM(reservation.memory_mb), 0) AS INTEGER), \
                     CAST(COALESCE(SUM(reservation.disk_mb), 0) AS INTEGER), host.name AS name \
                     FROM host LEFT JOIN reservation ON reservation.host = host.name";
/// What others hold of a host. A damaged figure makes the sum a fraction, and is worth nothing.
const HELD: &str = "SELECT CAST(COALESCE(SUM(slots), 0) AS INTEGER), CAST(COALESCE(SUM(cpu_milli), 0) AS INTEGER), \
                    CAST(COALESCE(SUM(memory_mb), 0) AS INTEGER), CAST(COALESCE(SUM(disk_mb), 0) AS INTEGER) \
                    FROM reservation WHERE host = $1 AND sandbox_id <> $2";

/// Why nothing was written.
pub(crate) enum Refused {
    /// The host has no room, or takes nothing new.
    NoRoom(StoreError),
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Refused {
        Refused::Sqlite(error)
    }
}

impl Store {
    /// Every registered host in order of name, with what is held of it.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn hosts(&self) -> Result<Vec<HostStatus>, StoreError> {
        self.readable(&damage::HOSTS, &self.every_host(), (), |row| self.read_host(row))
    }

    /// The registered host of this name.
    ///
    /// # Errors
    /// `NotFound`, and those of the file.
    pub async fn host(&self, name: &str) -> Result<HostStatus, StoreError> {
        let sql = format!("{HOSTS} WHERE host.name = $1 GROUP BY host.name");
        let found = self.one_of(&damage::HOSTS, &sql, [name], |row| self.read_host(row))?;
        found.ok_or_else(|| StoreError::NotFound {
            what: "host",
            name: name.to_owned(),
        })
    }

    /// Registers a host. One of this name must not be there.
    ///
    /// # Errors
    /// `HostTaken`, and those of the file.
    pub async fn add_host(&self, host: &Host) -> Result<(), StoreError> {
        self.change_hosts(|transaction| {
            let rows = transaction.execute(
                "INSERT INTO host (name, address, state, slots, cpu_milli, memory_mb, disk_mb, added_at, record) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (name) DO NOTHING",
                params![
                    host.name,
                    host.address.to_string(),
                    host.state.name(),
                    host.capacity.slots.map(signed),
                    host.capacity.cpu_milli.map(signed),
                    host.capacity.memory_mb.map(signed),
                    host.capacity.disk_mb.map(signed),
                    host.added_at.as_microsecond(),
                    self.json(host)?,
                ],
            );
            match rows.map_err(|error| self.classify(&error))? {
                0 => Err(StoreError::HostTaken(host.name.clone())),
                _ => Ok(()),
            }
        })
    }

    /// Changes a registered host: reads it, has it changed and writes it while nobody else can.
    ///
    /// # Errors
    /// `NotFound`, and those of the file.
    pub async fn change_host(&self, name: &str, change: impl Fn(&mut Host)) -> Result<Host, StoreError> {
        self.change_hosts(|transaction| {
            let wrong = |error: rusqlite::Error| self.classify(&error);
            let read: Result<String, _> =
                transaction.query_row("SELECT record FROM host WHERE name = $1", [name], |row| row.get(0));
            let mut host: Host = match read {
                Ok(record) => self.parse(&record)?,
                Err(rusqlite::Error::QueryReturnedNoRows) => {
                    return Err(StoreError::NotFound {
                        what: "host",
                        name: name.to_owned(),
                    });
                }
                Err(error) => return Err(wrong(error)),
            };
            change(&mut host);
            transaction
                .execute(
                    "UPDATE host SET state = $1, slots = $2, cpu_milli = $3, memory_mb = $4, disk_mb = $5, record = $6 \
                     WHERE name = $7",
                    params![
                        host.state.name(),
                        host.capacity.slots.map(signed),
                        host.capacity.cpu_milli.map(signed),
                        host.capacity.memory_mb.map(signed),
                        host.capacity.disk_mb.map(signed),
                        self.json(&host)?,
                        name,
                    ],
                )
                .map_err(wrong)?;
            Ok(host)
        })
    }

    /// Forgets a host that no sandbox holds anything of.
    ///
    /// # Errors
    /// `NotFound`, `HostInUse`, and those of the file.
    pub async fn remove_host(&self, name: &str) -> Result<(), StoreError> {
        self.change_hosts(|transaction| {
            let wrong = |error: rusqlite::Error| self.classify(&error);
            let count: i64 = transaction
                .query_row("SELECT COUNT(*) FROM reservation WHERE host = $1", [name], |row| {
                    row.get(0)
                })
                .map_err(wrong)?;
            let gone = transaction
                .execute("DELETE FROM host WHERE name = $1 AND $2 = 0", params![name, count])
                .map_err(wrong)?;
            let is_there = transaction
                .query_row("SELECT COUNT(*) FROM host WHERE name = $1", [name], |row| {
                    row.get::<_, i64>(0)
                })
                .map_err(wrong)?;
            match (gone, is_there) {
                (1, _) => Ok(()),
                (_, 0) => Err(StoreError::NotFound {
                    what: "host",
                    name: name.to_owned(),
                }),
                _ => Err(StoreError::HostInUse {
                    name: name.to_owned(),
                    sandboxes: u64::try_from(count).unwrap_or(0),
                }),
            }
        })
    }

    /// Everything that is held of hosts, registered or not.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn reservations(&self) -> Result<Vec<(SandboxId, Reservation)>, StoreError> {
        let sql =
            "SELECT host, sandbox_id, slots, cpu_milli, memory_mb, disk_mb FROM reservation ORDER BY host, sandbox_id";
        self.readable(&damage::RESERVATIONS, sql, (), |row| {
            let id = self.text(row, "sandbox_id")?;
            let id = id
                .parse()
                .map_err(|_| self.corrupt(format!("`{id}` is no sandbox id")))?;
            let share = Share {
                slots: self.unsigned(row, "slots")?,
                cpu_milli: self.unsigned(row, "cpu_milli")?,
                memory_mb: self.unsigned(row, "memory_mb")?,
                disk_mb: self.unsigned(row, "disk_mb")?,
            };
            let host = self.text(row, "host")?;
            Ok((id, Reservation { host, share }))
        })
    }

    /// Gives back what is held for a sandbox that is over or that there is no record of. `false`: nothing was.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn release_stray(&self, id: &SandboxId) -> Result<bool, StoreError> {
        self.change_hosts(|transaction| {
            let rows = transaction.execute(
                "DELETE FROM reservation WHERE sandbox_id = $1 \
                 AND NOT EXISTS (SELECT 1 FROM sandbox WHERE id = $1 AND state NOT IN ('destroyed', 'failed')) \
                 AND NOT EXISTS (SELECT 1 FROM operation WHERE sandbox_id = $1 AND is_open = 1)",
                [id.as_str()],
            );
            Ok(rows.map_err(|error| self.classify(&error))? > 0)
        })
    }

    pub(crate) fn every_host(&self) -> String {
        format!("{HOSTS} GROUP BY host.name ORDER BY host.name")
    }

    pub(crate) fn read_host(&self, row: &Row<'_>) -> Result<HostStatus, StoreError> {
        let mut host: Host = self.parse(&self.text(row, "record")?)?;
        if self.text(row, "name")? != host.name {
            return Err(self.corrupt(format!("its record is of `{}`", host.name)));
        }
        let state = self.text(row, "state")?;
        host.state = HostState::from_name(&state).ok_or_else(|| self.corrupt(format!("`{state}` is no host state")))?;
        let wrong = |error: rusqlite::Error| self.classify(&error);
        Ok(HostStatus {
            host,
            reserved: read_share(row, 3).map_err(wrong)?,
            sandboxes: u64::try_from(row.get::<_, i64>(2).map_err(wrong)?).unwrap_or(0),
        })
    }

    /// One transaction about hosts. What an operator is told survives a loss of power.
    fn change_hosts<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.transact(Durability::Acknowledged, work)
    }
}

/// Makes what is held of hosts what the record says. A share that is held already needs no room.
pub(crate) fn write_reservation(transaction: &Transaction<'_>, record: &SandboxRecord) -> Result<(), Refused> {
    let held = record.stored.as_ref().and_then(|stored| stored.reservation.as_ref());
    let wanted = record.facts.reservation.as_ref();
    if held == wanted {
        return Ok(());
    }
    let id = record.sandbox.sandbox_id.as_str();
    let Some(wanted) = wanted else {
        transaction
            .prepare_cached("DELETE FROM reservation WHERE sandbox_id = $1")?
            .execute([id])?;
        return Ok(());
    };
    if held.is_none_or(|held| held.host != wanted.host) {
        // An address is on record only of a host that was registered when it was chosen.
        check_room(transaction, id, wanted, record.facts.address.is_some())?;
    }
    let share = &wanted.share;
    transaction
        .prepare_cached(
            "INSERT INTO reservation (sandbox_id, host, slots, cpu_milli, memory_mb, disk_mb) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (sandbox_id) DO UPDATE SET host = excluded.host, \
             slots = excluded.slots, cpu_milli = excluded.cpu_milli, memory_mb = excluded.memory_mb, \
             disk_mb = excluded.disk_mb",
        )?
        .execute(params![
            id,
            wanted.host,
            signed(share.slots),
            signed(share.cpu_milli),
            signed(share.memory_mb),
            signed(share.disk_mb),
        ])?;
    Ok(())
}

/// The write lock is held, so nobody takes the last room at the same time.
fn check_room(transaction: &Transaction<'_>, id: &str, wanted: &Reservation, registered: bool) -> Result<(), Refused> {
    let no_room = |why: String| {
        Refused::NoRoom(StoreError::NoRoom {
            host: wanted.host.clone(),
            why,
        })
    };
    let row = transaction
        .prepare_cached("SELECT state, slots, cpu_milli, memory_mb, disk_mb FROM host WHERE name = $1")?
        .query_row([&wanted.host], |row| {
            let figure = |column| {
                row.get::<_, Option<i64>>(column)
                    .map(|n| n.and_then(|n| u64::try_from(n).ok()))
            };
            let capacity = Capacity {
                slots: figure(1)?,
                cpu_milli: figure(2)?,
                memory_mb: figure(3)?,
                disk_mb: figure(4)?,
            };
            Ok((row.get::<_, String>(0)?, capacity))
        });
    let (state, capacity) = match row {
        Ok(found) => found,
        Err(rusqlite::Error::QueryReturnedNoRows) if registered => {
            return Err(no_room("not registered any more".to_owned()));
        }
        // One that was named by the caller and never registered: nothing is known of its room.
        Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if state == HostState::Draining.name() {
        return Err(no_room("draining".to_owned()));
    }
    let taken = transaction
        .prepare_cached(HELD)?
        .query_row(params![wanted.host, id], |row| read_share(row, 0))?;
    capacity.room_for(&taken, &wanted.share).map_err(no_room)
}

/// Four figures from this column on.
fn read_share(row: &Row<'_>, first: usize) -> rusqlite::Result<Share> {
    let figure = |column| row.get::<_, i64>(column).map(|n| u64::try_from(n).unwrap_or(0));
    Ok(Share {
        slots: figure(first)?,
        cpu_milli: figure(first + 1)?,
        memory_mb: figure(first + 2)?,
        disk_mb: figure(first + 3)?,
    })
}
