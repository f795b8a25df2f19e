//! The variables of a service, from the file and from others of the project.

use std::path::Path;

use sandboxer_model::document::Value;

use super::Service;
use crate::policy::fields::{At, Fields};
use crate::policy::project::{Project, inside};
use crate::policy::read;
use crate::policy::value::pairs;

/// Takes `env_file` and `environment`; what the latter says counts.
pub(super) fn environment(fields: &mut Fields<'_>, service: &mut Service, project: Option<(&Project, &Path)>) {
    if let Some(files) = fields.take("env_file") {
        for item in files.one_or_more().unwrap_or_default() {
            read_env_file(&item, service, project);
        }
    }
    if let Some(environment) = fields.take("environment")
        && let Some(pairs) = pairs(&environment)
    {
        service.environment.extend(pairs);
    }
}

fn read_env_file(at: &At<'_>, service: &mut Service, project: Option<(&Project, &Path)>) -> Option<()> {
    let (path, required) = match &at.node.value {
        Value::Map(_) => {
            let mut fields = at.fields()?;
            let path = fields.take("path").and_then(|path| path.text());
            let required = fields
                .take("required")
                .is_none_or(|required| required.truth() != Some(false));
            if let Some(format) = fields.take("format") {
                format.one_of(&["raw"])?;
            }
            fields.finish();
            match path {
                Some(path) => (path, required),
                None => return at.refuse("names no path"),
            }
        }
        _ => (at.text()?, true),
    };
    let Some((project, directory)) = project else {
        return at.refuse("names a file, and there is no project");
    };
    let inside = match inside(directory, &path) {
        Ok(inside) => inside,
        Err(why) => return at.refuse(format!("is `{path}`, which {why}")),
    };
    match project.text(&inside) {
        Ok(Some(text)) => {
            service.environment.extend(read::variables(&text));
            Some(())
        }
        Ok(None) if !required => Some(()),
        Ok(None) => at.refuse(format!("is `{path}`, which is not in the project")),
        Err(why) => at.refuse(format!("is `{path}`, which {why}")),
    }
}
