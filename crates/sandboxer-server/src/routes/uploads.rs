//! Directories to start from.

use axum::http::Method;
use sandboxer_api::identity::Grant;
use sandboxer_api::request::Upload;
use sandboxer_model::error::UserError;

use crate::answer::Answer;
use crate::call::Call;
use crate::route::{Access, Keyed, NoBody, NoQuery, Route, Takes, on};
use crate::upload::keep::Maker;

/// Their routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        on(Method::POST, "/v1/uploads", "upload.create", Access::Grant(Grant::SandboxesCreate))
            .summary("Upload a directory, to be an input of a create.")
            .notes(
                "A tar archive without compression, at most 200000 entries and 2 GiB: files, directories, and links that stay \
                 inside. It is named as `upload:<id>` and kept for an hour, and then for as long as a sandbox that is not \
                 destroyed names it. Only who made it can use it. The same archive sent twice is two uploads.",
            )
            .takes(Takes::Stream("application/x-tar"))
            .keyed(Keyed::No)
            .answers::<Upload>(201, "It is there.")
            .by(create),
    ]
}

async fn create(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let who = call.who()?;
    let maker = Maker {
        project: who.project.clone(),
        owner: who.name.clone(),
    };
    let body = call.take_stream().unwrap_or_default();
    let upload = call.state.uploads.receive(maker, body).await?;
    call.object.set(&upload.upload_id);
    Answer::json(201, &upload)
}
