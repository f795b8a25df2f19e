//! Queries: read by the same schema that the API document shows, so that the two cannot differ.

use sandboxer_model::document::nearest;
use sandboxer_model::error::{ErrorCode, UserError};
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Parameters at most.
const MOST: usize = 100;

/// The query as `T`. Parameters that `T` has a list for may be given again; values are never part of an error.
///
/// # Errors
/// `InvalidInput`: a parameter is unknown, given twice, or not of its type.
pub(crate) fn read<T: DeserializeOwned + JsonSchema>(query: &str) -> Result<T, UserError> {
    let mut generator = SchemaGenerator::default();
    let schema = T::json_schema(&mut generator).to_value();
    let empty = Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let mut given = Map::new();
    for (count, (name, text)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
        if count == MOST {
            return Err(invalid(format!("more than {MOST} parameters in the query")));
        }
        let Some(property) = known.get(name.as_ref()) else {
            return Err(unknown(&name, known));
        };
        if is_list(property) {
            let list = given.entry(name.as_ref()).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(Value::String(text.into_owned()));
            }
        } else if given.insert(name.to_string(), typed(property, &text)).is_some() {
            return Err(invalid(format!("the parameter `{name}` is given twice")));
        }
    }
    // One at a time first, so that an error can name the one that is wrong.
    for (name, value) in &given {
        let mut alone = Map::new();
        alone.insert(name.clone(), value.clone());
        if let Err(error) = serde_json::from_value::<T>(Value::Object(alone))
            && !error.to_string().starts_with("missing field")
        {
            return Err(invalid(format!(
                "the parameter `{name}` is not {}",
                wanted(known.get(name))
            )));
        }
    }
    serde_json::from_value(Value::Object(given)).map_err(|error| {
        // Its own words: a member that is missing is named, and none is quoted.
        invalid(format!(
            "the query is not complete: {}",
            crate::body::without_values(&error)
        ))
    })
}

fn is_list(property: &Value) -> bool {
    types(property).contains(&"array")
}

fn types(property: &Value) -> Vec<&str> {
    match property.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The text as the type that the schema wants; what does not fit stays text, and is refused afterwards.
fn typed(property: &Value, text: &str) -> Value {
    let types = types(property);
    if types.contains(&"integer")
        && let Ok(number) = text.parse::<u64>()
    {
        return Value::from(number);
    }
    match text {
        "true" if types.contains(&"boolean") => Value::Bool(true),
        "false" if types.contains(&"boolean") => Value::Bool(false),
        _ => Value::String(text.to_owned()),
    }
}

fn wanted(property: Option<&Value>) -> String {
    let Some(property) = property else {
        return "taken".to_owned();
    };
    let types = types(property);
    if types.contains(&"integer") {
        return "a whole number in its range".to_owned();
    }
    if types.contains(&"boolean") {
        return "`true` or `false`".to_owned();
    }
    "one of the values that it takes, see `/docs`".to_owned()
}

fn unknown(name: &str, known: &Map<String, Value>) -> UserError {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
    let error = invalid(format!("the query has no parameter `{shown}`"));
    match nearest(name, known.keys().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("see the parameters in `/docs`"),
    }
}

fn invalid(what: String) -> UserError {
    UserError::new(ErrorCode::InvalidInput, what)
}
