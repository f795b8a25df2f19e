//! Typed identifiers: a prefix that names the kind, then 26 base-32 characters of a version-7 UUID.
//!
//! An id is time-sortable, lower-case and a valid DNS label (at most 63 characters of `a-z0-9-`), so the same
//! string names the compose project, directory, container label, cgroup and namespace of what it belongs to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Crockford's base-32 alphabet in lower case: keeps the sort order of the bytes it encodes.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters needed for 128 bits at 5 bits each.
const ENCODED_LEN: usize = 26;

/// Why a string is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The kind prefix is missing or names another kind.
    #[error("`{text}` does not start with `{prefix}-`")]
    Prefix {
        /// What was given.
        text: String,
        /// The prefix that was expected.
        prefix: &'static str,
    },
    /// The part after the prefix is not 26 base-32 characters.
    #[error("`{text}` is not `{prefix}-` followed by 26 characters of 0-9 a-z without i, l, o, u")]
    Body {
        /// What was given.
        text: String,
        /// The prefix of the kind.
        prefix: &'static str,
    },
}

fn encode(uuid: Uuid) -> String {
    let mut value = uuid.as_u128();
    let mut out = [0u8; ENCODED_LEN];
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
    out.iter().map(|&b| char::from(b)).collect()
}

fn is_body(text: &str) -> bool {
    // 26 characters carry 130 bits: the first may only use the lowest three of its five.
    text.len() == ENCODED_LEN
        && text.bytes().all(|b| ALPHABET.contains(&b))
        && text.as_bytes().first().is_some_and(|b| (b'0'..=b'7').contains(b))
}

fn decode(body: &str) -> Option<u128> {
    body.bytes().try_fold(0u128, |value, byte| {
        let digit = ALPHABET.iter().position(|&b| b == byte)?;
        Some(value << 5 | u128::try_from(digit).ok()?)
    })
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The kind prefix, without the dash.
            pub const PREFIX: &'static str = $prefix;

            /// Makes the id that carries this UUID (version 7 keeps ids sortable by creation time).
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(format!("{}-{}", $prefix, encode(uuid)))
            }

            /// When the id was made, in milliseconds since 1970: the first 48 bits of its UUID.
            pub fn made_at_ms(&self) -> u64 {
                let value = self.0.split_once('-').and_then(|(_, body)| decode(body)).unwrap_or(0);
                u64::try_from(value >> 80).unwrap_or(0)
            }

            /// The whole id, prefix included.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let Some(body) = text.strip_prefix(concat!($prefix, "-")) else {
                    return Err(IdError::Prefix { text: text.to_owned(), prefix: $prefix });
                };
                if is_body(body) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError::Body { text: text.to_owned(), prefix: $prefix })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": concat!("^", $prefix, "-[0-7][0-9a-hjkmnp-tv-z]{25}$")
                })
            }
        }
    };
}

typed_id!(
    /// Names a sandbox and everything that belongs to it.
    SandboxId, "sbx"
);
typed_id!(
    /// Names a durable operation on a sandbox.
    OperationId, "op"
);
typed_id!(
    /// Names one event of the outbox.
    EventId, "evt"
);
typed_id!(
    /// Names a webhook.
    WebhookId, "hook"
);
typed_id!(
    /// Names a directory that was uploaded.
    UploadId, "upl"
);
typed_id!(
    /// Names one installation of sand-boxer (one store): the owner written on everything it creates.
    InstallationId, "inst"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_sort_by_time() {
        let early = SandboxId::from_uuid(Uuid::from_u128(1 << 80));
        let late = SandboxId::from_uuid(Uuid::from_u128(2 << 80));
        assert!(early < late);
        assert_eq!((early.made_at_ms(), late.made_at_ms()), (1, 2));
        assert_eq!(SandboxId::from_uuid(Uuid::max()).made_at_ms(), (1 << 48) - 1);
        assert_eq!(early.as_str().parse::<SandboxId>(), Ok(early.clone()));
        assert!(early.as_str().len() <= 63);
        let max = SandboxId::from_uuid(Uuid::max());
        assert_eq!(max.as_str().parse::<SandboxId>(), Ok(max));
    }

    #[test]
    fn foreign_text_is_not_an_id() {
        for text in [
            "",
            "sbx-",
            "op-00000000000000000000000000",
            "sbx-0000000000000000000000000i",
            "sbx-80000000000000000000000000",
            "sbx-../../etc/passwd000000000000",
        ] {
            assert!(text.parse::<SandboxId>().is_err(), "{text}");
        }
    }
}
