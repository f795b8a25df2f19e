//! Directories of this machine as inputs: packed as a stack's are for its host, uploaded, and named by what that returned.

use std::collections::BTreeMap;
use std::io::{Error, Write};
use std::path::Path;
use std::sync::Arc;

use sandboxer_client::{Client, made_by};
use sandboxer_host::tree::{Limits, Tree};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::profile::InputKind;

use crate::context::Context;
use crate::service::catalog::is_file;

/// What is made where nothing is named.
const DEFAULT_PROFILE: &str = "profile.sandbox-canary";
/// How an upload is named as an input.
const UPLOAD: &str = "upload:";

/// The inputs as a server takes them: whatever the profile says is a directory is uploaded.
///
/// # Errors
/// The profile is a file, or not known there; a directory cannot be read.
pub(crate) async fn upload(
    context: &Context,
    client: &Client,
    profile: Option<&str>,
    mut inputs: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, UserError> {
    let name = profile.unwrap_or(DEFAULT_PROFILE);
    if is_file(name) {
        let what = format!("`{name}` is a file of this machine, and a server takes profiles of its catalog only");
        return Err(UserError::new(ErrorCode::Unsupported, what)
            .hint("see what there is with `sandboxer profiles list`, or ask who runs the server to add it"));
    }
    if inputs.values().all(|value| value.starts_with(UPLOAD)) {
        return Ok(inputs);
    }
    let profile = client.profile(name).await?;
    for (key, value) in &mut inputs {
        let is_directory = profile
            .inputs
            .get(key)
            .is_some_and(|input| input.kind == InputKind::Directory);
        if is_directory && !value.starts_with(UPLOAD) {
            let dir = context.working_dir.join(value.as_str());
            let uploaded = client.upload(packed(key, &dir)?).await?;
            *value = format!("{UPLOAD}{}", uploaded.upload_id);
        }
    }
    Ok(inputs)
}

/// The archive of a directory without what its ignore files name.
fn packed(key: &str, dir: &Path) -> Result<sandboxer_client::MakeBody, UserError> {
    if !dir.is_dir() {
        let what = format!(
            "input `{key}` is a directory of this machine, and {} is none",
            dir.display()
        );
        return Err(UserError::new(ErrorCode::InvalidInput, what).hint("give a directory that is there"));
    }
    let tree = Tree::scan(dir, Limits::default()).map_err(|error| {
        UserError::new(ErrorCode::InvalidInput, format!("input `{key}`: {error}"))
            .hint("list what is not to go in .sandboxerignore")
    })?;
    let tree = Arc::new(tree);
    Ok(made_by(move |to: &mut dyn Write| tree.write(to).map_err(Error::other)))
}
