//! The one way to change the store: everything about one sandbox in one transaction, fenced.

use rusqlite::{Transaction, TransactionBehavior};
use sandboxer_extension::cut;
use sandboxer_model::lifecycle::State;

use crate::error::StoreError;
use crate::group::LOCK_ATTEMPTS;
use crate::host::{Refused, write_reservation};
use crate::open::{Connection, Store};
use crate::record::{Frozen, MeterRow, NewEvent, OperationRecord, SandboxRecord, StepRecord, Stored};
use crate::sqlite_error::sqlite_code;
use crate::write::{check_quota, signed, write_key, write_meter};

/// What a commit must survive. A later `Acknowledged` commit makes every earlier one durable too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A loss of power: for all that a user is told, and intents whose effects outlive this machine.
    #[default]
    Acknowledged,
    /// The death of any process: for intermediate steps on backends that die with this machine.
    CrashOnly,
}

/// What is written together with a sandbox's row.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What never changes; required with a record that is not stored yet, ignored otherwise.
    pub frozen: Option<Frozen>,
    /// Operations, new or changed.
    pub operations: Vec<OperationRecord>,
    /// Steps, new or changed.
    pub steps: Vec<StepRecord>,
    /// Events in order; their sequence numbers are given here.
    pub events: Vec<NewEvent>,
    /// Figures of use.
    pub meters: Vec<MeterRow>,
    /// What becomes of the sandbox's idempotency key.
    pub key: KeyChange,
    /// Live sandboxes its project may have with this one; of a record that is not stored yet. (What somebody with a key
    /// makes again is held to what is set for the project.)
    pub max_live: Option<u32>,
    /// What the commit must survive.
    pub durability: Durability,
}

/// What a change does about the idempotency key a sandbox was made with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeyChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is the sandbox's from now on.
    Take(KeyRecord),
    /// It is free again.
    Release,
}

/// An idempotency key and the request it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The key, with whatever keeps callers apart.
    pub key: String,
    /// Digest of the request.
    pub digest: String,
}

/// SQLite's extended code for a row that is there already.
const CONSTRAINT_UNIQUE: i32 = 2067;
/// The same where it is the primary key that is there.
const CONSTRAINT_KEY: i32 = 1555;

impl Store {
    /// Writes a sandbox's row and everything that belongs to the same change, or nothing at all.
    /// Afterwards `record` knows what is stored, so that it can be changed and committed again.
    ///
    /// # Errors
    /// `Fenced` and `Stale` when the row is not as it was read, `ScopeTaken`, `KeyTaken`, `QuotaExceeded`, `NoRoom`,
    /// `IllegalMove`, and those of the file.
    pub async fn commit(&self, record: &mut SandboxRecord, change: &Change) -> Result<(), StoreError> {
        let Some(faults) = &self.faults else {
            return self.commit_now(record, change).await;
        };
        faults.before().await?;
        let mut written = record.clone();
        self.commit_now(&mut written, change).await?;
        faults.after()?;
        *record = written;
        Ok(())
    }

    async fn commit_now(&self, record: &mut SandboxRecord, change: &Change) -> Result<(), StoreError> {
        check_moves(record, &change.events)?;
        let revision = record.stored.as_ref().map_or(1, |stored| stored.revision + 1);
        match self.queue() {
            None => self.commit_here(record, change, revision)?,
            Some(queue) => {
                let (durability, record, change) = (change.durability, record.clone(), change.clone());
                let write = move |store: &Store, transaction: &Transaction<'_>| {
                    let written = store.write(transaction, &record, &change, revision);
                    written.map_err(|why| store.refusal(transaction, &record, why))
                };
                queue.put(self, durability, write).await?;
                cut!("store.commit.after");
            }
        }
        let sandbox = &record.sandbox;
        record.stored = Some(Stored {
            epoch: sandbox.epoch,
            revision,
            state: sandbox.state,
            reservation: record.facts.reservation.clone(),
        });
        Ok(())
    }

    /// On the caller's thread.
    fn commit_here(&self, record: &SandboxRecord, change: &Change, revision: i64) -> Result<(), StoreError> {
        let mut turn = self.writing();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Err(why) = self.write_alone(&mut turn, record, change, revision) else {
                return Ok(());
            };
            match self.refusal(&turn.sqlite, record, why) {
                StoreError::Locked { .. } if attempt < LOCK_ATTEMPTS => {}
                StoreError::Locked { path, seconds } => {
                    return Err(StoreError::Locked {
                        path,
                        seconds: seconds * u64::from(LOCK_ATTEMPTS),
                    });
                }
                error => return Err(error),
            }
        }
    }

    fn write_alone(
        &self,
        connection: &mut Connection,
        record: &SandboxRecord,
        change: &Change,
        revision: i64,
    ) -> Result<(), Failed> {
        connection.keep(change.durability)?;
        // Dropped before its commit, it is rolled back.
        let transaction = connection
            .sqlite
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.write(&transaction, record, change, revision)?;
        transaction.commit()?;
        cut!("store.commit.after");
        Ok(())
    }

    fn write(
        &self,
        transaction: &Transaction<'_>,
        record: &SandboxRecord,
        change: &Change,
        revision: i64,
    ) -> Result<(), Failed> {
        match &record.stored {
            None => self.insert_sandbox(transaction, record, change, revision)?,
            Some(stored) => self.update_sandbox(transaction, record, stored, revision)?,
        }
        write_reservation(transaction, record)?;
        write_key(transaction, record, &change.key)?;
        for operation in &change.operations {
            self.write_operation(transaction, operation)?;
        }
        for step in &change.steps {
            self.write_step(transaction, step)?;
        }
        self.write_events(transaction, &record.sandbox.sandbox_id, &change.events)?;
        for meter in &change.meters {
            write_meter(transaction, &record.sandbox.sandbox_id, meter)?;
        }
        // Last, since a create that finds a sandbox of its scope or key takes no place.
        check_quota(transaction, record, change)?;
        cut!("store.commit.before");
        Ok(())
    }

    /// Why nothing was written, as callers hear it.
    fn refusal(&self, connection: &rusqlite::Connection, record: &SandboxRecord, why: Failed) -> StoreError {
        match why {
            Failed::Fence => self.why_fenced(connection, record),
            Failed::Store(error) => error,
            Failed::Sqlite(error) => match sqlite_code(&error) {
                Some((CONSTRAINT_KEY, message)) if message.contains("idempotency") => StoreError::KeyTaken,
                Some((CONSTRAINT_UNIQUE, message)) if message.contains("scope") => {
                    StoreError::ScopeTaken(record.facts.scope_key.clone().unwrap_or_default())
                }
                _ => self.classify(&error),
            },
        }
    }

    /// Tells a change of owner from any other change.
    fn why_fenced(&self, connection: &rusqlite::Connection, record: &SandboxRecord) -> StoreError {
        let id = record.sandbox.sandbox_id.clone();
        let epoch = connection.query_row("SELECT epoch FROM sandbox WHERE id = $1", [id.as_str()], |row| {
            row.get::<_, i64>(0)
        });
        match (epoch, &record.stored) {
            (Ok(epoch), Some(stored)) if epoch == signed(stored.epoch.0) => StoreError::Stale(id),
            (Ok(_) | Err(rusqlite::Error::QueryReturnedNoRows), _) => StoreError::Fenced(id),
            (Err(error), _) => self.classify(&error),
        }
    }
}

/// Why nothing was written.
pub(crate) enum Failed {
    Fence,
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Failed {
        Failed::Sqlite(error)
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Failed {
        match refused {
            Refused::NoRoom(error) => Failed::Store(error),
            Refused::Sqlite(error) => Failed::Sqlite(error),
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed::Store(error)
    }
}

/// Follows the states the events tell of, from the stored one to the record's: each move must be in the table.
fn check_moves(record: &SandboxRecord, events: &[NewEvent]) -> Result<(), StoreError> {
    let mut at = record.stored_state();
    let told = events.iter().map(|event| event.state).chain([record.sandbox.state]);
    for next in told {
        let legal = match at {
            None => next == State::Requested,
            Some(from) => from == next || from.may_become(next),
        };
        if !legal {
            let from = at.unwrap_or(State::Requested);
            return Err(StoreError::IllegalMove {
                sandbox_id: record.sandbox.sandbox_id.clone(),
                from,
                to: next,
            });
        }
        at = Some(next);
    }
    Ok(())
}
