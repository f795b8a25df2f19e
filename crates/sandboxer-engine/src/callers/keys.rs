//! Keys of callers: make, replace, revoke, and who it is that has one.

use jiff::Timestamp;
use sandboxer_api::identity::{Grant, Identity, Key, MadeKey, NewKey, RotateKey};
use sandboxer_model::duration::Span;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::sandbox::Actor;
use sandboxer_store::Replaced;

use super::token;
use crate::engine::Engine;
use crate::prepare::check_name;

/// Characters of a subject's name at most.
const NAME_LEN: usize = 64;
/// Tries to find an id that no other key has.
const ATTEMPTS: u32 = 8;

impl Engine {
    /// Makes a key. `by`: the key it is made with; none: on the server's machine. Its secret is in the answer and nowhere
    /// else.
    ///
    /// # Errors
    /// `InvalidInput` when no such key can be, and those of the store.
    pub async fn make_key(&self, new: &NewKey, by: Option<&str>) -> Result<MadeKey, UserError> {
        let grants = check_key(new)?;
        let now = self.ports.clock.now();
        let draft = Key {
            key_id: String::new(),
            name: new.name.clone(),
            role: new.role,
            project: new.project.clone(),
            grants,
            created_at: now,
            created_by: by.map(str::to_owned),
            expires_at: new.expires_in.map(|span| later(now, span)).transpose()?,
            revoked_at: None,
            last_used_at: None,
            rotated_from: None,
        };
        for _ in 0..ATTEMPTS {
            let made = self.with_token(draft.clone())?;
            if self.ports.store.add_key(&made.key, &made.token).await? {
                return Ok(made);
            }
        }
        Err(no_id())
    }

    /// Every key in the order they were made, those that are not taken any more among them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn keys(&self) -> Result<Vec<Key>, UserError> {
        Ok(self.ports.store.api_keys().await?)
    }

    /// One key.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn key(&self, id: &str) -> Result<Key, UserError> {
        Ok(self.ports.store.api_key(id).await?)
    }

    /// Makes a key that may do what another may, for as long, and ends that one: at once, or after an overlap.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` when that one is not taken any more.
    pub async fn rotate_key(&self, id: &str, rotate: &RotateKey, by: Option<&str>) -> Result<MadeKey, UserError> {
        let now = self.ports.clock.now();
        let old = self.ports.store.api_key(id).await?;
        if !is_taken(&old, now) {
            let what = format!("cannot rotate the key {}: it is not taken any more", old.key_id);
            return Err(UserError::new(ErrorCode::WrongState, what).hint("make a new key instead"));
        }
        let until = match rotate.overlap {
            None => Replaced::Now(now),
            Some(overlap) => Replaced::At(later(now, overlap)?),
        };
        // As long from now on as the old one was good for in all.
        let good_for = old.expires_at.map(|end| end.duration_since(old.created_at));
        let draft = Key {
            key_id: String::new(),
            created_at: now,
            created_by: by.map(str::to_owned),
            expires_at: good_for.and_then(|lasts| now.checked_add(lasts).ok()),
            last_used_at: None,
            rotated_from: Some(old.key_id.clone()),
            ..old
        };
        for _ in 0..ATTEMPTS {
            let made = self.with_token(draft.clone())?;
            let replaced = self.ports.store.replace_key(id, until, &made.key, &made.token).await?;
            if replaced.is_some() {
                return Ok(made);
            }
        }
        Err(no_id())
    }

    /// Refuses a key from now on. Doing it again changes nothing.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_key(&self, id: &str) -> Result<Key, UserError> {
        let now = self.ports.clock.now();
        let revoke = move |key: &mut Key| {
            key.revoked_at.get_or_insert(now);
            Ok(())
        };
        Ok(self.ports.store.change_key(id, revoke).await?)
    }

    /// Who it is that sent this token.
    ///
    /// # Errors
    /// `Unauthenticated`, in the same words whatever was wrong; those of the store.
    pub async fn authenticate(&self, token: &str) -> Result<Identity, UserError> {
        let Some(key) = self.ports.store.authenticate(token).await? else {
            let what = "the API key is not valid";
            return Err(UserError::new(ErrorCode::Unauthenticated, what)
                .hint("send a key that is in force as `Authorization: Bearer sbx_live_…`"));
        };
        Ok(Identity {
            key_id: key.key_id,
            name: key.name,
            role: key.role,
            project: key.project,
            grants: key.grants,
        })
    }

    fn with_token(&self, draft: Key) -> Result<MadeKey, UserError> {
        let (key_id, token) = token::fresh(self.ports.ids.as_ref()).map_err(|error| {
            UserError::new(
                ErrorCode::Internal,
                format!("this machine gives no randomness: {error}"),
            )
        })?;
        Ok(MadeKey {
            key: Key { key_id, ..draft },
            token,
        })
    }
}

fn is_taken(key: &Key, now: Timestamp) -> bool {
    key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now)
}

fn later(now: Timestamp, span: Span) -> Result<Timestamp, UserError> {
    now.checked_add(span.as_signed())
        .map_err(|_| UserError::new(ErrorCode::InvalidInput, format!("{span} from now is no time")))
}

fn no_id() -> UserError {
    UserError::new(ErrorCode::Internal, "found no id that no other key has")
}

/// What a new key may do, if there can be such a key.
fn check_key(new: &NewKey) -> Result<Vec<Grant>, UserError> {
    let invalid = |what: String| UserError::new(ErrorCode::InvalidInput, what);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if new.name.is_empty() || new.name.len() > NAME_LEN || !new.name.bytes().all(plain) {
        return Err(invalid(format!(
            "a key's name is 1 to {NAME_LEN} letters, digits, `.`, `_`, `-`"
        )));
    }
    match (&new.project, new.role) {
        (Some(project), Actor::Adm) => {
            check_name("the project", project)?;
            let what = format!("a key of role adm sees all projects, so it cannot be bound to `{project}`");
            return Err(invalid(what).hint("leave `project` out, or choose the role atm"));
        }
        (None, Actor::Agt | Actor::Atm) => {
            let what = format!(
                "a key of role {} is bound to a project, and none is named",
                new.role.name()
            );
            return Err(invalid(what).hint("name one as `project`"));
        }
        (Some(project), _) => check_name("the project", project)?,
        (None, Actor::Adm) => {}
    }
    let Some(asked) = &new.grants else {
        return Ok(Grant::all_of(new.role));
    };
    if let Some(grant) = asked.iter().find(|grant| !grant.is_open_to(new.role)) {
        let what = format!(
            "a key of role {} cannot have the grant {}",
            new.role.name(),
            grant.name()
        );
        let all: Vec<_> = Grant::all_of(new.role).into_iter().map(Grant::name).collect();
        return Err(invalid(what).hint(format!("it can have {}", all.join(", "))));
    }
    let mut grants = asked.clone();
    grants.sort_unstable();
    grants.dedup();
    Ok(grants)
}
