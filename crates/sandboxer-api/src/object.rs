//! Objects within bodies. A list of an object's values in their order would do for the reader of a type; the API document says
//! that only an object does.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize as _, Deserializer};
use serde_json::{Map, Value};

/// Reads an object, and no list.
///
/// # Errors
/// It is no object, or not of this type.
pub(crate) fn only<'de, T: DeserializeOwned, D: Deserializer<'de>>(reader: D) -> Result<T, D::Error> {
    let object = Map::deserialize(reader)?;
    T::deserialize(Value::Object(object)).map_err(D::Error::custom)
}

/// The same where it may be null.
///
/// # Errors
/// It is neither null nor an object, or not of this type.
pub(crate) fn maybe<'de, T: DeserializeOwned, D: Deserializer<'de>>(reader: D) -> Result<Option<T>, D::Error> {
    let object = Option::<Map<String, Value>>::deserialize(reader)?;
    object
        .map(|object| T::deserialize(Value::Object(object)))
        .transpose()
        .map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use crate::hosts::AddHost;
    use crate::request::CreateSandbox;

    #[test]
    fn a_list_of_values_is_no_object() {
        for good in ["null", "{}", "{\"run_id\": \"a\"}"] {
            serde_json::from_str::<CreateSandbox>(&format!("{{\"consumer\": {good}}}")).unwrap();
        }
        for bad in ["[]", "[null, null]", "[null, null, \"a\"]", "\"a\"", "{\"run\": \"a\"}"] {
            serde_json::from_str::<CreateSandbox>(&format!("{{\"consumer\": {bad}}}")).unwrap_err();
        }
        serde_json::from_str::<AddHost>("{\"name\": \"a\", \"capacity\": {\"slots\": 2}}").unwrap();
        serde_json::from_str::<AddHost>("{\"name\": \"a\", \"capacity\": [2, null, null, null]}").unwrap_err();
    }
}
