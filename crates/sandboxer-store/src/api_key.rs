//! Keys of callers. Of a secret only a keyed hash is kept, and the key of that hash is not in the database.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use sandboxer_api::identity::Key;

use crate::commit::Durability;
use crate::damage;
use crate::error::StoreError;
use crate::open::Store;
use crate::pepper::Pepper;

/// What every token begins with.
const TOKEN: &str = "sbx_live_";
/// Characters of a key's public part.
const ID_LEN: usize = 8;
/// Characters of its secret part.
const SECRET_LEN: usize = 32;
/// That a key was used is written down at most this often, in microseconds: a minute.
const USE_NOTED: i64 = 60_000_000;
const KEY: &str = "SELECT id, hash, last_used_at, record FROM api_key";

/// A key as stored.
struct Stored {
    key: Key,
    hash: String,
}

impl Store {
    /// Adds a key with this token. `false`: another one has its id; nothing was written.
    ///
    /// # Errors
    /// Those of the file and of the pepper.
    pub async fn add_key(&self, key: &Key, token: &str) -> Result<bool, StoreError> {
        let (key, hash) = (key.clone(), hash(&self.pepper()?, token));
        self.change(Durability::Acknowledged, move |store, transaction| {
            store.insert_key(transaction, &key, &hash)
        })
        .await
    }

    fn insert_key(&self, transaction: &Transaction<'_>, key: &Key, hash: &blake3::Hash) -> Result<bool, StoreError> {
        transaction
            .execute(
                "INSERT INTO api_key (id, hash, record) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
                params![key.key_id, hash.to_hex().as_str(), self.json(key)?],
            )
            .map(|rows| rows == 1)
            .map_err(|error| self.classify(&error))
    }

    /// Every key in the order they were made.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn api_keys(&self) -> Result<Vec<Key>, StoreError> {
        let mut keys = self.readable(&damage::API_KEYS, KEY, (), |row| Ok(self.read_api_key(row)?.key))?;
        keys.sort_by(|one, two| (one.created_at, &one.key_id).cmp(&(two.created_at, &two.key_id)));
        Ok(keys)
    }

    /// The key of this id.
    ///
    /// # Errors
    /// `NotFound`, and those of the file.
    pub async fn api_key(&self, id: &str) -> Result<Key, StoreError> {
        let found = self.stored_key(id)?;
        found.map(|stored| stored.key).ok_or_else(|| missing(id))
    }

    /// Changes a key that is there, and adds another in the same transaction.
    ///
    /// # Errors
    /// `NotFound`, what `work` refuses, and those of the file.
    pub async fn change_key(
        &self,
        id: &str,
        work: impl FnOnce(&mut Key) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Key, StoreError> {
        let id = id.to_owned();
        self.change(Durability::Acknowledged, move |store, transaction| {
            let mut key = store.key_in(transaction, &id)?;
            work(&mut key)?;
            store.update_key(transaction, &key)?;
            Ok(key)
        })
        .await
    }

    /// Puts a new key in the place of one that is there, which is taken until `until`. `None`: another one has the new
    /// one's id; nothing was written.
    ///
    /// # Errors
    /// `NotFound`, and those of the file and of the pepper.
    pub async fn replace_key(
        &self,
        id: &str,
        until: Replaced,
        new: &Key,
        token: &str,
    ) -> Result<Option<Key>, StoreError> {
        let (id, new, hash) = (id.to_owned(), new.clone(), hash(&self.pepper()?, token));
        self.change(Durability::Acknowledged, move |store, transaction| {
            let mut old = store.key_in(transaction, &id)?;
            match until {
                Replaced::Now(at) => old.revoked_at = Some(old.revoked_at.map_or(at, |earlier| earlier.min(at))),
                Replaced::At(end) => old.expires_at = Some(old.expires_at.map_or(end, |earlier| earlier.min(end))),
            }
            if !store.insert_key(transaction, &new, &hash)? {
                return Ok(None);
            }
            store.update_key(transaction, &old)?;
            Ok(Some(old))
        })
        .await
    }

    /// The key with this token, if it is taken now. Whatever is wrong with it, the same is done and the same is said.
    ///
    /// # Errors
    /// Those of the file and of the pepper. That its use cannot be noted is no error.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Key>, StoreError> {
        let pepper = self.pepper()?;
        // A token that is none is hashed like one, cut to the length of one.
        let id = id_of(token);
        let given = hash(&pepper, token.get(..TOKEN_LEN).unwrap_or(token));
        let found = match self.stored_key(id.unwrap_or_default()) {
            Ok(found) => found,
            // A key that cannot be understood opens nothing.
            Err(StoreError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        let nobodys = blake3::keyed_hash(&pepper, b"");
        let kept = found
            .as_ref()
            .and_then(|stored| blake3::Hash::from_hex(&stored.hash).ok())
            .unwrap_or(nobodys);
        // In constant time, as this type compares.
        let fits = kept == given;
        let now = self.clock().now();
        let key = match (fits && id.is_some(), found) {
            (true, Some(stored)) => stored.key,
            _ => return Ok(None),
        };
        if key.revoked_at.is_some() || key.expires_at.is_some_and(|end| end <= now) {
            return Ok(None);
        }
        self.note_key_use(&key, now);
        Ok(Some(key))
    }

    fn note_key_use(&self, key: &Key, now: Timestamp) {
        let (now, id) = (now.as_microsecond(), key.key_id.clone());
        let noted = key.last_used_at.map_or(i64::MIN, |at| at.as_microsecond());
        if now.saturating_sub(noted) < USE_NOTED {
            return;
        }
        self.change_later(Durability::CrashOnly, move |store, transaction| {
            transaction
                .prepare_cached(
                    "UPDATE api_key SET last_used_at = $1 WHERE id = $2 AND COALESCE(last_used_at, 0) <= $3",
                )
                .and_then(|mut statement| statement.execute(params![now, id, now - USE_NOTED]))
                .map(drop)
                .map_err(|error| store.classify(&error))
        });
    }

    fn stored_key(&self, id: &str) -> Result<Option<Stored>, StoreError> {
        const BY_ID: &str = "SELECT id, hash, last_used_at, record FROM api_key WHERE id = $1";
        self.one_of(&damage::API_KEYS, BY_ID, [id], |row| self.read_api_key(row))
    }

    fn key_in(&self, transaction: &Transaction<'_>, id: &str) -> Result<Key, StoreError> {
        let read = transaction
            .query_row(&format!("{KEY} WHERE id = $1"), [id], |row| {
                Ok(self
                    .read_api_key(row)
                    .map_err(|error| self.in_row(&damage::API_KEYS, row, error)))
            })
            .optional()
            .map_err(|error| self.classify(&error))?;
        read.ok_or_else(|| missing(id))?.map(|stored| stored.key)
    }

    fn update_key(&self, transaction: &Transaction<'_>, key: &Key) -> Result<(), StoreError> {
        transaction
            .execute(
                "UPDATE api_key SET record = $1 WHERE id = $2",
                params![self.json(key)?, key.key_id],
            )
            .map(drop)
            .map_err(|error| self.classify(&error))
    }

    fn read_api_key(&self, row: &Row<'_>) -> Result<Stored, StoreError> {
        let mut key: Key = self.parse(&self.text(row, "record")?)?;
        if self.text(row, "id")? != key.key_id {
            return Err(self.corrupt(format!("its record is of {}", key.key_id)));
        }
        let used: Option<i64> = self.column(row, "last_used_at")?;
        key.last_used_at = used.and_then(|at| Timestamp::from_microsecond(at).ok());
        Ok(Stored {
            key,
            hash: self.text(row, "hash")?,
        })
    }

    /// For whoever looks for damage.
    pub(crate) fn check_api_key(&self, row: &Row<'_>) -> Result<(), StoreError> {
        let stored = self.read_api_key(row)?;
        match blake3::Hash::from_hex(&stored.hash) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.corrupt("its hash is none")),
        }
    }
}

/// Every key, for whoever looks for damage.
pub(crate) const ALL: &str = KEY;

/// Until when a key that was replaced is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// Not any more from this moment.
    Now(Timestamp),
    /// Until this moment, or until it ends anyway.
    At(Timestamp),
}

const TOKEN_LEN: usize = TOKEN.len() + ID_LEN + 1 + SECRET_LEN;

/// The public part of a token, if it is one.
fn id_of(token: &str) -> Option<&str> {
    let (id, secret) = token.strip_prefix(TOKEN)?.split_once('_')?;
    let is_id = id.len() == ID_LEN && id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    let is_secret = secret.len() == SECRET_LEN && secret.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_id && is_secret).then_some(id)
}

fn hash(pepper: &Pepper, token: &str) -> blake3::Hash {
    blake3::keyed_hash(pepper, token.as_bytes())
}

fn missing(id: &str) -> StoreError {
    StoreError::NotFound {
        what: "key",
        name: id.chars().take(40).filter(|c| !c.is_control()).collect(),
    }
}
