//! Building an image from the repository. A build runs the repository's own commands, so it gets what the sandbox gets and
//! no more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sandboxer_model::document::Value;

use super::fields::At;
use super::project::{Found, Project, inside};
use super::value::is_name;

/// An image that is built before the services start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Whose.
    pub service: String,
    /// Its name.
    pub tag: String,
    /// Directory, relative to the repository; empty: all of it.
    pub context: PathBuf,
    /// Dockerfile, relative to the repository.
    pub dockerfile: PathBuf,
    /// The stage that is wanted.
    pub target: Option<String>,
    /// Its arguments.
    pub args: BTreeMap<String, String>,
}

/// `build` of a service.
pub(super) fn build(at: &At<'_>, service: &str, tag: String, project: Option<(&Project, &Path)>) -> Option<Build> {
    let Some((project, directory)) = project else {
        return at.refuse("builds from a path, and there is no project");
    };
    let mut dockerfile = "Dockerfile".to_owned();
    let mut target = None;
    let mut args = BTreeMap::new();
    let context = match &at.node.value {
        Value::Map(_) => {
            let mut fields = at.fields()?;
            let context = match fields.take("context") {
                Some(context) => context.text()?,
                None => ".".to_owned(),
            };
            if let Some(file) = fields.take("dockerfile") {
                dockerfile = file.text()?;
            }
            if let Some(stage) = fields.take("target") {
                let stage_name = stage.text()?;
                if !is_name(&stage_name) {
                    return stage.refuse("is not the name of a stage");
                }
                target = Some(stage_name);
            }
            if let Some(given) = fields.take("args") {
                args = super::value::pairs(&given)?;
            }
            fields.drop_keys(
                &["pull", "no_cache", "labels"],
                "is not used: an image is built anew from what the host has",
            );
            fields.finish();
            context
        }
        _ => at.text()?,
    };
    let context = match inside(directory, &context) {
        Ok(path) => path,
        Err(why) => {
            return at
                .child("context", at.node)
                .refuse(format!("is `{context}`, which {why}"));
        }
    };
    match project.find(&context) {
        Ok(Found::Directory) => {}
        Ok(_) => return at.child("context", at.node).refuse("is no directory of the project"),
        Err(why) => return at.child("context", at.node).refuse(why),
    }
    let file = match inside(&context, &dockerfile) {
        Ok(path) => path,
        Err(why) => {
            return at
                .child("dockerfile", at.node)
                .refuse(format!("is `{dockerfile}`, which {why}"));
        }
    };
    match project.text(&file) {
        Ok(Some(text)) => {
            if let Some(why) = forbidden(&text) {
                return at.child("dockerfile", at.node).refuse(format!("`{dockerfile}` {why}"));
            }
        }
        Ok(None) => {
            return at
                .child("dockerfile", at.node)
                .refuse(format!("`{dockerfile}` is not in the project"));
        }
        Err(why) => return at.child("dockerfile", at.node).refuse(format!("`{dockerfile}` {why}")),
    }
    Some(Build {
        service: service.to_owned(),
        tag,
        context,
        dockerfile: file,
        target,
        args,
    })
}

/// What of a Dockerfile would reach beyond its context: another frontend, the builder's own privileges, files fetched
/// by the engine instead of from inside.
fn forbidden(text: &str) -> Option<&'static str> {
    let mut still_directives = true;
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ").replace("`\n", " ");
    for line in joined.lines() {
        let line = line.trim();
        let lower = line.to_ascii_lowercase();
        if let Some(comment) = lower.strip_prefix('#') {
            if still_directives && comment.trim_start().starts_with("syntax") && comment.contains('=') {
                return Some("names another frontend (`# syntax=`), which is a program of its own");
            }
            continue;
        }
        if !line.is_empty() {
            still_directives = false;
        }
        let mut words = lower.split_ascii_whitespace();
        let first = words.next();
        let first = if first == Some("onbuild") { words.next() } else { first };
        match first {
            Some("add")
                if words.any(|word| {
                    word.contains("://") || word.trim_start_matches(['[', '"', ' ']).starts_with("git@")
                }) =>
            {
                return Some("has `ADD` fetch from elsewhere: the engine would call an address of the file's choosing");
            }
            Some("run")
                if words.take_while(|word| word.starts_with("--")).any(|flag| {
                    flag.starts_with("--security")
                        || flag.starts_with("--network")
                        || flag.starts_with("--device")
                        || (flag.starts_with("--mount")
                            && !(flag.contains("type=cache") || flag.contains("type=tmpfs")))
                }) =>
            {
                return Some("has `RUN` ask for more than a build gets");
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockerfiles_stay_in_their_context() {
        for bad in [
            "# syntax=docker/dockerfile:1\nFROM a",
            "#  SYNTAX = evil/frontend\nFROM a",
            "FROM a\nADD https://example.org/x /x",
            "FROM a\nADD \\\n  http://x/y /z",
            "FROM a\nADD [\"https://x/y\", \"/z\"]",
            "FROM a\nADD git@github.com:a/b.git /x",
            "FROM a\nONBUILD ADD https://x /y",
            "FROM a\nRUN --security=insecure id",
            "FROM a\nRUN --network=host id",
            "FROM a\nRUN --mount=type=ssh id",
            "FROM a\nRUN --mount=type=bind,from=x,source=/ id",
        ] {
            assert!(forbidden(bad).is_some(), "{bad}");
        }
        for good in [
            "FROM busybox:stable\nCOPY . /app\nADD x.tar /y\nRUN echo hi && true",
            "# a comment about syntax\nFROM a\nRUN curl https://example.org",
            "FROM a\n# syntax=late\nRUN --mount=type=cache,target=/root/.cache true",
        ] {
            assert_eq!(forbidden(good), None, "{good}");
        }
    }
}
