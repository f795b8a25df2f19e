//! `profiles`: list, show and check recipes.

use std::path::PathBuf;

use sandboxer_model::document::Diagnostic;
use sandboxer_model::error::{ErrorCode, UserError};
use serde::Serialize;
use serde_json::Value;

use crate::args::ProfilesVerb;
use crate::context::{Context, Format};
use crate::output::json;
use crate::output::table::Columns;
use crate::service::Catalogue;

/// A file as `check` prints it.
#[derive(Serialize)]
struct Checked {
    /// Which one.
    file: String,
    /// The profile in it, when it is one.
    id: Option<String>,
    /// What is wrong.
    problems: Vec<Diagnostic>,
}

/// Lists, shows or checks profiles.
///
/// # Errors
/// Those of the catalog; `InvalidProfile` when a checked file has a problem.
pub(crate) async fn profiles(context: &Context, verb: ProfilesVerb) -> Result<u8, UserError> {
    match verb {
        ProfilesVerb::List => list(context).await?,
        ProfilesVerb::Show { profile } => show(context, &profile).await?,
        ProfilesVerb::Check { files } => check(context, &files)?,
    }
    Ok(0)
}

async fn list(context: &Context) -> Result<(), UserError> {
    let catalogue = context.profiles().await?;
    if context.format == Format::Json {
        return json::print(&catalogue);
    }
    let Catalogue { profiles, problems } = catalogue;
    let mut table = Columns::new(context.paint, &["ID", "VERSION", "BACKEND", "FROM", "DESCRIPTION"]);
    for one in profiles {
        let cells = [
            one.id,
            one.version,
            one.extension,
            one.layer.name().to_owned(),
            one.description,
        ];
        table.row(cells);
    }
    table.print()?;
    for problem in problems {
        context.note(&format!("{} {problem}", context.error_paint.warn("broken:")));
    }
    Ok(())
}

async fn show(context: &Context, name: &str) -> Result<(), UserError> {
    let shown = context.profile(name).await?;
    if context.format == Format::Json {
        return json::print(&shown);
    }
    let mut table = Columns::new(context.paint, &[]);
    table.row(["from".to_owned(), shown.source.clone()]);
    table.row(["digest".to_owned(), shown.digest.clone()]);
    flatten(&serde_json::json!(shown.profile), "", &mut table);
    table.print()
}

/// A row for each value, named by its path.
fn flatten(value: &Value, path: &str, table: &mut Columns) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(value, &path, table);
            }
        }
        Value::String(text) => table.row([path.to_owned(), text.clone()]),
        Value::Null => table.row([path.to_owned(), "-".to_owned()]),
        other => table.row([path.to_owned(), other.to_string()]),
    }
}

fn check(context: &Context, files: &[PathBuf]) -> Result<(), UserError> {
    let catalog = context.catalog();
    let checked: Vec<Checked> = files
        .iter()
        .map(|file| {
            let (id, problems) = match catalog.check(file, &context.working_dir) {
                Ok(profile) => (Some(profile.id), Vec::new()),
                Err(problems) => (None, problems),
            };
            Checked {
                file: file.display().to_string(),
                id,
                problems,
            }
        })
        .collect();
    match context.format {
        Format::Json => json::print(&checked)?,
        Format::Table => json::print_text(&checked.iter().map(|one| report(context, one)).collect::<String>())?,
    }
    let broken = checked.iter().filter(|one| !one.problems.is_empty()).count();
    if broken == 0 {
        return Ok(());
    }
    let problems: usize = checked.iter().map(|one| one.problems.len()).sum();
    let count = |n: usize, what: &str| {
        if n == 1 {
            format!("{n} {what}")
        } else {
            format!("{n} {what}s")
        }
    };
    Err(UserError::new(
        ErrorCode::InvalidProfile,
        format!(
            "found {} in {} of {}",
            count(problems, "problem"),
            broken,
            count(checked.len(), "file")
        ),
    )
    .hint("each is listed above with its line and column"))
}

fn report(context: &Context, checked: &Checked) -> String {
    match &checked.id {
        Some(id) => format!("{}: {} {id}\n", checked.file, context.paint.good("ok")),
        None => checked.problems.iter().map(|problem| format!("{problem}\n")).collect(),
    }
}
