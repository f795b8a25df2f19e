//! Files of a workspace.

use std::sync::Arc;

use axum::http::Method;
use axum::http::header::CONTENT_LENGTH;
use sandboxer_api::identity::Grant;
use sandboxer_api::request::{FileEntry, WrittenFile};
use sandboxer_engine::files::{MOST_BYTES, WorkspacePath};
use sandboxer_model::error::{ErrorCode, UserError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::Answer;
use crate::call::Call;
use crate::files::{incoming, listing, outgoing};
use crate::route::{Access, NoBody, Route, Takes, on};
use crate::session::streams::source;
use crate::session::unary::no_pipes;

const OCTETS: &str = "application/octet-stream";
const TAR: &str = "application/x-tar";

/// Their routes.
pub(super) fn routes() -> Vec<Route> {
    let exec = Access::Grant(Grant::SandboxesExec);
    vec![
        on(Method::GET, "/v1/sandboxes/{id}/files", "file.read", exec)
            .summary("Read a file, or with `archive=tar` a file or what is in a directory.")
            .notes("An answer that breaks off was not all of it.")
            .query::<ReadQuery>()
            .answers_bytes(200, OCTETS, "Its bytes.")
            .answers_bytes(200, TAR, "The archive.")
            .by(read),
        on(Method::GET, "/v1/sandboxes/{id}/files/list", "file.list", exec)
            .summary("What is in a directory.")
            .query::<PathQuery>()
            .answers::<Vec<FileEntry>>(200, "Its entries, by name.")
            .by(list),
        on(Method::PUT, "/v1/sandboxes/{id}/files", "file.write", exec)
            .summary("Write a file, or with `archive=tar` unpack an archive below a directory.")
            .notes(
                "At most 1 GiB. A file is in its place when all of it arrived, and a transfer that breaks off changes nothing. \
                 Directories that are missing are made.",
            )
            .query::<WriteQuery>()
            .takes(Takes::Stream(OCTETS))
            .answers::<WrittenFile>(200, "What was written.")
            .by(write),
        on(Method::DELETE, "/v1/sandboxes/{id}/files", "file.remove", exec)
            .summary("Remove a file, a link, or a directory with everything in it.")
            .query::<PathQuery>()
            .answers_bytes(204, "", "It is gone.")
            .by(remove),
    ]
}

/// How a directory travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ArchiveKind {
    /// As a tar archive without compression.
    Tar,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PathQuery {
    /// Relative to the workspace; `.` is the workspace itself.
    path: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReadQuery {
    /// Relative to the workspace; `.` is the workspace itself.
    path: String,
    /// As an archive.
    archive: Option<ArchiveKind>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WriteQuery {
    /// Relative to the workspace.
    path: String,
    /// Permission bits of the file, in octal such as `0755`; those it has, or 0644, when left out.
    mode: Option<String>,
    /// An archive is sent.
    archive: Option<ArchiveKind>,
}

async fn read(call: Call, query: ReadQuery, _: NoBody) -> Result<Answer, UserError> {
    let id = call.sandbox().await?.sandbox.sandbox_id;
    let path: WorkspacePath = query.path.parse()?;
    let (source, far) = source().map_err(no_pipes)?;
    let (sent, media) = match query.archive {
        None => (call.engine().read_file(id.as_str(), &path, far).await?, OCTETS),
        Some(ArchiveKind::Tar) => (call.engine().read_tree(id.as_str(), &path, far).await?, TAR),
    };
    let clock = Arc::clone(&call.state.clock);
    let body = outgoing::body(source, Box::pin(sent.finish()), MOST_BYTES, clock).await?;
    Ok(Answer::stream(200, media, body))
}

async fn list(call: Call, query: PathQuery, _: NoBody) -> Result<Answer, UserError> {
    let id = call.sandbox().await?.sandbox.sandbox_id;
    let clock = Arc::clone(&call.state.clock);
    let entries = listing::list(call.engine(), clock, id.as_str(), &query.path.parse()?).await?;
    Answer::json(200, &entries)
}

async fn write(call: Call, query: WriteQuery, _: NoBody) -> Result<Answer, UserError> {
    let id = call.sandbox().await?.sandbox.sandbox_id;
    let path: WorkspacePath = query.path.parse()?;
    let length = call
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MOST_BYTES) {
        return Err(UserError::new(
            ErrorCode::TooLarge,
            "what is to be sent is larger than 1 GiB",
        ));
    }
    let (incoming, input) = match (query.archive, query.mode) {
        (None, mode) => {
            let mode = mode.map(|text| permissions(&text)).transpose()?;
            call.engine().write_file(id.as_str(), &path, mode).await?
        }
        (Some(ArchiveKind::Tar), None) => call.engine().write_tree(id.as_str(), &path).await?,
        (Some(ArchiveKind::Tar), Some(_)) => {
            let what = "`mode` is for a file; an archive says the modes of what is in it";
            return Err(UserError::new(ErrorCode::InvalidInput, what));
        }
    };
    let body = call.take_stream().unwrap_or_default();
    let clock = Arc::clone(&call.state.clock);
    let bytes = incoming::carry(incoming, input, body, clock).await?;
    let path = path.to_string();
    Answer::json(200, &WrittenFile { path, bytes })
}

async fn remove(call: Call, query: PathQuery, _: NoBody) -> Result<Answer, UserError> {
    let id = call.sandbox().await?.sandbox.sandbox_id;
    call.engine().remove_file(id.as_str(), &query.path.parse()?).await?;
    Ok(Answer::empty(204))
}

fn permissions(text: &str) -> Result<u32, UserError> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if digits && mode <= 0o777 => Ok(mode),
        _ => Err(
            UserError::new(ErrorCode::InvalidInput, "`mode` is not permission bits in octal")
                .hint("such as `644` or `0755`, at most `0777`"),
        ),
    }
}
