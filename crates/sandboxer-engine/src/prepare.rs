//! Everything a create refuses before it asks a backend to make anything: the same for the dry run.

use std::collections::BTreeMap;

use sandboxer_extension::Validation;
use sandboxer_model::duration::Span;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::profile::{InputKind, Profile, Scope};
use sandboxer_model::route::{Candidate, RouteDecision};
use sandboxer_model::sandbox::Consumer;

use crate::api::{Caller, CreateRequest, Plan};
use crate::catalog;
use crate::engine::Engine;
use crate::route::Wanted;

/// Used when a create does not name a profile.
pub(crate) const DEFAULT_PROFILE: &str = "profile.sandbox-canary";
/// Labels per sandbox.
const MOST_LABELS: usize = 64;
const LABEL_KEY_LEN: usize = 63;
const TEXT_LEN: usize = 256;

/// A request with every choice made.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) profile: Profile,
    pub(crate) digest: String,
    pub(crate) source: String,
    pub(crate) inputs: BTreeMap<String, String>,
    pub(crate) ttl: Span,
    pub(crate) scope: Scope,
    pub(crate) scope_key: Option<String>,
    pub(crate) route: RouteDecision,
    /// The candidate that is asked first.
    pub(crate) first: Candidate,
    pub(crate) validation: Validation,
}

impl Engine {
    pub(crate) async fn prepare(&self, req: &CreateRequest) -> Result<Prepared, UserError> {
        let name = req.profile.as_deref().unwrap_or(DEFAULT_PROFILE);
        let resolved = match req.caller {
            Caller::Operator => self.catalog.resolve(name, &req.working_dir)?,
            Caller::Tenant => self.catalog.resolve_shared(name)?,
        };
        let profile = resolved.profile;
        let inputs = catalog::inputs::validate(&profile, &given(&profile, req)?, &req.working_dir)?;
        let ttl = time_to_live(&profile, req.ttl)?;
        check_labels(&req.labels)?;
        check_consumer(&req.consumer)?;
        let scope = req.scope.unwrap_or(profile.scope_default);
        let (route, first, validation) = self.route(&profile, &inputs, ttl, Wanted::of(req)).await?;
        Ok(Prepared {
            digest: profile.digest(),
            source: resolved.source,
            inputs,
            ttl,
            scope,
            scope_key: scope_key(scope, &req.consumer, req.owner.as_deref(), &profile.id),
            route,
            first,
            validation,
            profile,
        })
    }

    pub(crate) async fn do_plan(&self, req: &CreateRequest) -> Result<Plan, UserError> {
        let prepared = self.prepare(req).await?;
        let quote = prepared.first.quote.ok_or_else(|| {
            UserError::new(
                ErrorCode::Unavailable,
                format!("{} gave no price", prepared.first.extension_id),
            )
        })?;
        Ok(Plan {
            profile_digest: prepared.digest,
            profile_source: prepared.source,
            extension_id: prepared.first.extension_id,
            host: prepared.first.host,
            quote,
            ttl: prepared.ttl,
            inputs: prepared.inputs,
            limits: prepared.validation.limits,
            detail: prepared.validation.detail,
            route: prepared.route,
            profile: prepared.profile,
        })
    }
}

impl Prepared {
    /// The candidate that was to be asked first turned out to have no room: the next one is first.
    ///
    /// # Errors
    /// There is no next one.
    pub(crate) fn rule_out_first(&mut self, host: &str, why: &str) -> Result<(), UserError> {
        let reason = format!("cannot use host `{host}`: {why}");
        if let Some(first) = self.route.candidates.iter_mut().find(|candidate| candidate.accepted) {
            first.accepted = false;
            first.reason = reason.clone();
        }
        match self.route.accepted().next() {
            Some(next) => {
                self.first = next.clone();
                Ok(())
            }
            None => Err(UserError::new(ErrorCode::NoRoute, reason)
                .hint(format!("see what is there with `sandboxer inspect host {host}`"))),
        }
    }

    /// Refuses a `run` that no candidate could serve, before anything is made.
    pub(crate) fn require_exec(&self, engine: &Engine) -> Result<(), UserError> {
        let id = &self.first.extension_id;
        match engine.ports.extensions.get(id) {
            Some(extension) if extension.capabilities().exec => Ok(()),
            _ => Err(UserError::new(
                ErrorCode::Unsupported,
                format!("{id} does not run commands, so `run` cannot use it"),
            )
            .hint("use a profile of another extension, or `create` and reach it as `reachability show` says")),
        }
    }
}

fn time_to_live(profile: &Profile, asked: Option<Span>) -> Result<Span, UserError> {
    let ttl = asked.unwrap_or(profile.ttl.default);
    if ttl > profile.ttl.max {
        let what = format!(
            "a time to live of {ttl} is over the maximum of {}, {}",
            profile.id, profile.ttl.max
        );
        return Err(
            UserError::new(ErrorCode::InvalidTtl, what).hint(format!("ask for at most --ttl {}", profile.ttl.max))
        );
    }
    Ok(ttl)
}

/// The inputs as they are to be checked: directories that a server resolved among them, and for a tenant no others.
fn given(profile: &Profile, req: &CreateRequest) -> Result<BTreeMap<String, String>, UserError> {
    let invalid = |what: String| UserError::new(ErrorCode::InvalidInput, what);
    let is_directory = |name: &String| {
        let spec = profile.inputs.get(name);
        spec.is_some_and(|spec| spec.kind == InputKind::Directory)
    };
    if req.caller == Caller::Tenant
        && let Some(name) = req.inputs.keys().find(|name| is_directory(name))
    {
        let what = format!(
            "the input `{name}` of {} is a directory, which is not named by a path here",
            profile.id
        );
        return Err(invalid(what).hint("upload the directory and name it as `upload:<id>`"));
    }
    let mut given = req.inputs.clone();
    for (name, directory) in &req.directories {
        if !is_directory(name) {
            return Err(invalid(format!(
                "{} has no input `{name}` that is a directory",
                profile.id
            )));
        }
        let Some(text) = directory.to_str() else {
            return Err(invalid(format!(
                "the directory for the input `{name}` has a name that is not UTF-8"
            )));
        };
        given.insert(name.clone(), text.to_owned());
    }
    Ok(given)
}

/// What makes two creates the same sandbox; `None`: nothing does. A sandbox of another profile is never a match, and but
/// for what is shared none of another owner.
pub(crate) fn scope_key(scope: Scope, consumer: &Consumer, owner: Option<&str>, profile_id: &str) -> Option<String> {
    let project = consumer.project.as_deref().unwrap_or("");
    // JSON keeps parts apart whatever they contain.
    let mut parts = match scope {
        Scope::Session => vec!["session", consumer.run_id.as_deref()?, project, profile_id],
        Scope::Agent => vec!["agent", consumer.actor.name(), project, profile_id],
        Scope::Shared => vec!["shared", project, profile_id],
    };
    if scope != Scope::Shared {
        parts.extend(owner);
    }
    serde_json::to_string(&parts).ok()
}

pub(crate) fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), UserError> {
    let invalid = |what: String| Err(UserError::new(ErrorCode::InvalidInput, what));
    if labels.len() > MOST_LABELS {
        return invalid(format!("{} labels are too many: at most {MOST_LABELS}", labels.len()));
    }
    for (key, value) in labels {
        let shown: String = key.chars().take(40).collect();
        let first = key.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
        if !first || !rest || key.len() > LABEL_KEY_LEN {
            return invalid(format!(
                "`{shown}` is not a label: start with a letter or digit, then letters, digits, `.`, `_`, `-`, `/`, at most \
                 {LABEL_KEY_LEN} in all"
            ));
        }
        check_text(&format!("the value of label `{shown}`"), value)?;
    }
    Ok(())
}

fn check_consumer(consumer: &Consumer) -> Result<(), UserError> {
    for (what, text) in [("the project", &consumer.project), ("the run id", &consumer.run_id)] {
        if let Some(text) = text {
            check_name(what, text)?;
        }
    }
    Ok(())
}

/// Refuses what is no name of a project or run.
pub(crate) fn check_name(what: &str, text: &str) -> Result<(), UserError> {
    if text.is_empty() {
        return Err(UserError::new(ErrorCode::InvalidInput, format!("{what} is empty")).hint("leave it out instead"));
    }
    check_text(what, text)
}

fn check_text(what: &str, text: &str) -> Result<(), UserError> {
    if text.len() > TEXT_LEN || text.chars().any(char::is_control) {
        let why = format!("{what} is not plain text of at most {TEXT_LEN} bytes");
        return Err(UserError::new(ErrorCode::InvalidInput, why));
    }
    Ok(())
}
