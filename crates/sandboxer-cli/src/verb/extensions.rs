//! `extensions`: list and show backends.

use sandboxer_client::ShownExtension;
use sandboxer_extension::Manifest;
use sandboxer_model::error::UserError;

use crate::args::ExtensionsVerb;
use crate::context::{Context, Format};
use crate::output::json;
use crate::output::table::Columns;

/// Lists or shows extensions.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn extensions(context: &Context, verb: ExtensionsVerb) -> Result<u8, UserError> {
    match verb {
        ExtensionsVerb::List => list(context, &context.manifests().await?)?,
        ExtensionsVerb::Show { id } => {
            let shown = context.extension(&id).await?;
            match context.format {
                Format::Json => json::print(&shown)?,
                Format::Table => show(context, &shown)?,
            }
        }
    }
    Ok(0)
}

fn list(context: &Context, manifests: &[Manifest]) -> Result<(), UserError> {
    if context.format == Format::Json {
        return json::print(manifests);
    }
    let mut table = Columns::new(context.paint, &["ID", "ISOLATION", "PRICING", "TITLE"]);
    for manifest in manifests {
        let levels = serde_json::json!(manifest.capabilities.isolation_levels);
        let levels: Vec<&str> = levels
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|level| level.as_str())
            .collect();
        let pricing = serde_json::json!(manifest.capabilities.pricing_model);
        table.row([
            manifest.id.clone(),
            levels.join(", "),
            pricing.as_str().unwrap_or_default().to_owned(),
            manifest.title.clone(),
        ]);
    }
    table.print()
}

fn show(context: &Context, shown: &ShownExtension) -> Result<(), UserError> {
    let mut table = Columns::new(context.paint, &["CAPABILITY", "DECLARED", "HERE"]);
    let declared = serde_json::json!(shown.manifest.capabilities);
    let here = serde_json::json!(shown.here);
    let cell = |value: Option<&serde_json::Value>| match value {
        Some(serde_json::Value::Bool(true)) => "yes".to_owned(),
        Some(serde_json::Value::Bool(false)) => "no".to_owned(),
        Some(serde_json::Value::Array(values)) => values
            .iter()
            .filter_map(|value| value.as_str())
            .collect::<Vec<_>>()
            .join(", "),
        Some(serde_json::Value::String(text)) => text.clone(),
        _ => String::new(),
    };
    for (name, value) in declared.as_object().into_iter().flatten() {
        table.row([name.clone(), cell(Some(value)), cell(here.get(name))]);
    }
    json::print_text(&format!(
        "{}: {}\n{}\n\n",
        shown.manifest.id, shown.manifest.title, shown.manifest.description
    ))?;
    table.print()
}
