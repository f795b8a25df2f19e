//! What a create passes in, against what the profile asks for.

use std::collections::BTreeMap;
use std::path::Path;

use sandboxer_model::document::{check_input_value, nearest};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::profile::{InputKind, InputSpec, Profile};

/// The inputs as they are stored: checked, defaults filled in, directories absolute and without links.
///
/// # Errors
/// [`ErrorCode::InvalidInput`]: one is unknown, missing, or not of its type.
pub fn validate(
    profile: &Profile,
    given: &BTreeMap<String, String>,
    working_dir: &Path,
) -> Result<BTreeMap<String, String>, UserError> {
    if let Some(name) = given.keys().find(|name| !profile.inputs.contains_key(*name)) {
        return Err(unknown(profile, name));
    }
    let mut inputs = BTreeMap::new();
    for (name, spec) in &profile.inputs {
        match (given.get(name), &spec.default) {
            (Some(value), _) | (None, Some(value)) => {
                let value = check(profile, name, spec, value, working_dir)?;
                inputs.insert(name.clone(), value);
            }
            (None, None) if spec.required => return Err(missing(profile, name, spec)),
            (None, None) => {}
        }
    }
    Ok(inputs)
}

fn check(
    profile: &Profile,
    name: &str,
    spec: &InputSpec,
    value: &str,
    working_dir: &Path,
) -> Result<String, UserError> {
    let shown: String = value
        .chars()
        .take(80)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    let more = if shown.len() < value.len() { "…" } else { "" };
    let refuse = |why: &str| {
        let message = format!(
            "the input `{name}` of {} cannot be `{shown}{more}`: it {why}",
            profile.id
        );
        UserError::new(ErrorCode::InvalidInput, message)
    };
    check_input_value(spec.kind, value).map_err(|why| refuse(&why).hint(usage(name, spec)))?;
    if spec.kind != InputKind::Directory {
        return Ok(value.to_owned());
    }
    let path = working_dir.join(value);
    let real = path.canonicalize().map_err(|error| {
        let problem = match error.kind() {
            std::io::ErrorKind::NotFound => refuse("does not exist"),
            _ => refuse(&format!("cannot be opened: {error}")),
        };
        if value.starts_with('~') {
            problem.hint("the shell did not expand `~`; write `$HOME` instead")
        } else if Path::new(value).is_absolute() {
            problem.hint("name a directory that exists on this machine")
        } else {
            problem.hint(format!("relative paths start at {}", working_dir.display()))
        }
    })?;
    if !real.is_dir() {
        return Err(refuse("is not a directory").hint("name the directory that holds it"));
    }
    match real.into_os_string().into_string() {
        Ok(real) => Ok(real),
        Err(_) => Err(refuse("has a real path that is not UTF-8").hint("rename the directory")),
    }
}

fn unknown(profile: &Profile, name: &str) -> UserError {
    let shown: String = name.chars().take(80).filter(|c| !c.is_control()).collect();
    let near = nearest(name, profile.inputs.keys().map(String::as_str));
    let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    let error = UserError::new(
        ErrorCode::InvalidInput,
        format!("{} has no input `{shown}`{near}", profile.id),
    );
    if profile.inputs.is_empty() {
        return error.hint("it takes no inputs");
    }
    let all: Vec<String> = profile
        .inputs
        .iter()
        .map(|(name, spec)| {
            format!(
                "{name} ({}{})",
                kind(spec.kind),
                if spec.required { ", required" } else { "" }
            )
        })
        .collect();
    error.hint(format!("it takes {}", all.join(", ")))
}

fn missing(profile: &Profile, name: &str, spec: &InputSpec) -> UserError {
    let message = format!("{} needs the input `{name}`, which is missing", profile.id);
    UserError::new(ErrorCode::InvalidInput, message).hint(format!("add {}", usage(name, spec)))
}

fn usage(name: &str, spec: &InputSpec) -> String {
    let value = match spec.kind {
        InputKind::String => "TEXT",
        InputKind::Directory => "DIR",
        InputKind::Integer => "NUMBER",
        InputKind::Boolean => "true|false",
        InputKind::Port => "PORT",
    };
    let about = spec.description.lines().next().filter(|line| !line.is_empty());
    format!(
        "`--input {name}={value}`{}",
        about.map_or_else(String::new, |about| format!(": {about}"))
    )
}

fn kind(kind: InputKind) -> &'static str {
    match kind {
        InputKind::String => "text",
        InputKind::Directory => "directory",
        InputKind::Integer => "whole number",
        InputKind::Boolean => "true or false",
        InputKind::Port => "port",
    }
}
