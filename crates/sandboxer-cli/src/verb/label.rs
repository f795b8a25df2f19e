//! `label`: set and remove labels.

use std::collections::BTreeMap;

use sandboxer_model::error::{ErrorCode, UserError};

use crate::args::LabelArgs;
use crate::context::Context;
use crate::output::sandbox;
use crate::value;

/// Sets (`key=value`) and removes (`key-`) labels.
///
/// # Errors
/// A change is neither; those of the engine.
pub(crate) async fn label(context: &Context, args: LabelArgs) -> Result<u8, UserError> {
    let mut set = BTreeMap::new();
    let mut remove = Vec::new();
    for change in &args.changes {
        if let Some((key, text)) = change.split_once('=') {
            value::label(key, text)?;
            set.insert(key.to_owned(), text.to_owned());
        } else if let Some(key) = change.strip_suffix('-') {
            value::label_key(key)?;
            remove.push(key.to_owned());
        } else {
            return Err(UserError::new(
                ErrorCode::InvalidInput,
                format!("`{change}` neither sets nor removes a label"),
            )
            .hint("write `key=value` to set, `key-` to remove"));
        }
    }
    let reporter = context.reporter();
    let sandbox = context.service(&reporter).await?.label(&args.id, set, remove).await?;
    reporter.close();
    sandbox::print(context, &sandbox)?;
    Ok(0)
}
