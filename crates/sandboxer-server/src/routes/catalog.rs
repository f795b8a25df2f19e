//! The catalog: profiles and extensions.

use std::path::Path;

use axum::http::Method;
use sandboxer_api::catalog::{Layer, Listed};
use sandboxer_api::identity::Grant;
use sandboxer_extension::Manifest;
use sandboxer_model::error::UserError;
use sandboxer_model::profile::Profile;

use crate::answer::Answer;
use crate::call::{Call, hidden, unseen};
use crate::route::{Access, NoBody, NoQuery, Route, on};

/// A directory that belongs to no repository.
const NOWHERE: &str = "/";

/// Their routes.
pub(super) fn routes() -> Vec<Route> {
    let read = Access::Grant(Grant::ProfilesRead);
    vec![
        on(Method::GET, "/v1/profiles", "profile.list", read)
            .summary("The profiles of this server.")
            .answers::<Vec<Listed>>(200, "Every profile.")
            .by(profiles),
        on(Method::GET, "/v1/profiles/{id}", "profile.get", read)
            .summary("One profile, whole.")
            .answers::<Profile>(200, "The profile.")
            .by(profile),
        on(Method::GET, "/v1/extensions", "extension.list", read)
            .summary("The backends of this server.")
            .answers::<Vec<Manifest>>(200, "Every backend.")
            .by(extensions),
        on(Method::GET, "/v1/extensions/{id}", "extension.get", read)
            .summary("One backend and what it can do.")
            .answers::<Manifest>(200, "The backend.")
            .by(extension),
    ]
}

async fn profiles(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let (mut listed, _) = call.engine().catalog().list(Path::new(NOWHERE));
    listed.retain(|one| one.layer != Layer::Repository);
    Answer::json(200, &listed)
}

async fn profile(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let name = call.parameter("id");
    let known = call.engine().catalog().list(Path::new(NOWHERE)).0;
    if !known.iter().any(|one| one.id == name && one.layer != Layer::Repository) {
        return Err(unseen());
    }
    let resolved = call
        .engine()
        .catalog()
        .resolve(name, Path::new(NOWHERE))
        .map_err(hidden)?;
    Answer::json(200, &resolved.profile)
}

async fn extensions(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let all: Vec<Manifest> = call
        .engine()
        .extensions()
        .iter()
        .map(|(_, one)| one.manifest().clone())
        .collect();
    Answer::json(200, &all)
}

async fn extension(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    match call.engine().extensions().get(call.parameter("id")) {
        Some(extension) => Answer::json(200, extension.manifest()),
        None => Err(unseen()),
    }
}
