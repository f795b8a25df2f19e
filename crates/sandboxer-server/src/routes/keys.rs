//! API keys, and what projects may use.

use axum::http::Method;
use sandboxer_api::identity::{Grant, Identity, Key, MadeKey, NewKey, Project, RotateKey, SetProject};
use sandboxer_model::error::{ErrorCode, UserError};

use crate::answer::Answer;
use crate::call::{Call, hidden};
use crate::route::{Access, Keyed, NoBody, NoQuery, Route, on};

/// Their routes.
pub(super) fn routes() -> Vec<Route> {
    let admin = Access::Grant(Grant::KeysAdmin);
    vec![
        on(Method::GET, "/v1/me", "key.whoami", Access::AnyKey)
            .summary("Who you are, and what you may do.")
            .answers::<Identity>(200, "You.")
            .by(whoami),
        on(Method::GET, "/v1/keys", "key.list", admin)
            .summary("Every key, without its secret.")
            .reads_much()
            .answers::<Vec<Key>>(200, "Newest first.")
            .by(list),
        on(Method::POST, "/v1/keys", "key.create", admin)
            .summary("Make a key. Shows it, once.")
            .keyed(Keyed::Once)
            .body::<NewKey>()
            .answers::<MadeKey>(201, "The key and its secret.")
            .by(create),
        on(Method::GET, "/v1/keys/{id}", "key.get", admin)
            .summary("One key, without its secret.")
            .answers::<Key>(200, "The key.")
            .by(get),
        on(Method::DELETE, "/v1/keys/{id}", "key.revoke", admin)
            .summary("Refuse a key from now on.")
            .answers::<Key>(200, "The key.")
            .by(revoke),
        on(Method::POST, "/v1/keys/{id}/rotate", "key.rotate", admin)
            .summary("Make a key that takes the place of another. Shows it, once.")
            .keyed(Keyed::Once)
            .maybe_body::<RotateKey>()
            .answers::<MadeKey>(201, "The new key and its secret.")
            .by(rotate),
        on(Method::GET, "/v1/projects", "project.list", admin)
            .summary("Projects and what they may use.")
            .reads_much()
            .answers::<Vec<Project>>(200, "Every project that is known.")
            .by(projects),
        on(Method::GET, "/v1/projects/{project}", "project.get", admin)
            .summary("What a project may use, and what it uses.")
            .answers::<Project>(200, "The project; one that was never set has the defaults.")
            .by(project),
        on(Method::PUT, "/v1/projects/{project}", "project.set", admin)
            .summary("Set what a project may use.")
            .body::<SetProject>()
            .answers::<Project>(200, "The project.")
            .by(set_project),
    ]
}

async fn whoami(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Answer::json(200, call.who()?)
}

async fn list(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Answer::json(200, &call.engine().keys().await?)
}

/// Nobody makes a key that may do more than their own.
fn no_more_than(who: &Identity, grants: &[Grant]) -> Result<(), UserError> {
    match grants.iter().find(|grant| !who.grants.contains(grant)) {
        None => Ok(()),
        Some(more) => Err(UserError::new(
            ErrorCode::Forbidden,
            format!(
                "this key does not have the grant `{}`, so it cannot give it away",
                more.name()
            ),
        )
        .hint("name the grants of the new key in `grants`")),
    }
}

async fn create(call: Call, _: NoQuery, body: NewKey) -> Result<Answer, UserError> {
    let all = || Grant::all_of(body.role);
    no_more_than(call.who()?, &body.grants.clone().unwrap_or_else(all))?;
    let made = call.engine().make_key(&body, Some(&call.who()?.key_id)).await?;
    call.object.set(&made.key.key_id);
    Answer::json(201, &made)
}

async fn get(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Answer::json(200, &call.engine().key(call.parameter("id")).await.map_err(hidden)?)
}

async fn revoke(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let key = call.engine().revoke_key(call.parameter("id")).await.map_err(hidden)?;
    call.object.set(&key.key_id);
    Answer::json(200, &key)
}

async fn rotate(call: Call, _: NoQuery, body: RotateKey) -> Result<Answer, UserError> {
    let id = call.parameter("id");
    let old = call.engine().key(id).await.map_err(hidden)?;
    no_more_than(call.who()?, &old.grants)?;
    let by = &call.who()?.key_id;
    let made = call.engine().rotate_key(id, &body, Some(by)).await.map_err(hidden)?;
    call.object.set(id);
    Answer::json(201, &made)
}

async fn projects(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Answer::json(200, &call.engine().projects().await?)
}

async fn project(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Answer::json(200, &call.engine().project(call.parameter("project")).await?)
}

async fn set_project(call: Call, _: NoQuery, body: SetProject) -> Result<Answer, UserError> {
    let project = call.engine().set_project(call.parameter("project"), &body).await?;
    call.object.set(&project.project);
    Answer::json(200, &project)
}
