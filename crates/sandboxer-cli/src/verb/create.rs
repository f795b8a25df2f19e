//! `create`: make a sandbox and wait until it is ready, or say what would be made.

use sandboxer_client::Client;
use sandboxer_engine::Cancel;
use sandboxer_engine::api::{CreateRequest, Created, IfAbandoned, Plan};
use sandboxer_model::error::{ErrorCode, UserError};

use super::recipe::Wish;
use crate::args::CreateArgs;
use crate::context::{Context, Format, Warm};
use crate::interrupt::{Interrupts, Meaning};
use crate::output::table::Columns;
use crate::output::{human, json, sandbox, telemetry};
use crate::service::remote::{self, create::Key};

/// Creates a sandbox.
///
/// # Errors
/// Those of the engine; `Interrupted` once what was begun is undone.
pub(crate) async fn create(context: &Context, args: CreateArgs) -> Result<u8, UserError> {
    let wish = Wish::read(args.recipe)?;
    if let Some(client) = context.remote()? {
        let how = How {
            key: args.idempotency_key,
            no_wait: args.no_wait,
            dry_run: args.dry_run,
        };
        return at_server(context, &client, wish, how).await;
    }
    let if_abandoned = if args.no_wait {
        IfAbandoned::Finish
    } else {
        IfAbandoned::Undo
    };
    let request = CreateRequest {
        idempotency_key: args.idempotency_key,
        ..wish.here(context, if_abandoned)
    };
    if args.dry_run {
        let engine = context.open_to_look(context.extensions(Warm::No)?).await?;
        print_plan(context, &engine.plan(&request).await?)?;
        return Ok(0);
    }
    let reporter = context.reporter();
    if args.no_wait {
        let engine = context.engine(&reporter).await?;
        let created = engine.accept(request).await?;
        if let Some(operation) = &created.sandbox.operation_id {
            start_operating(context, operation.as_str())?;
        }
        print(context, &created)?;
        return Ok(0);
    }
    let extensions = context.extensions(Warm::Up)?;
    let cancel = Cancel::new();
    let _interrupts = Interrupts::receive(Meaning::Undo, &cancel)?;
    let engine = context.engine_over(extensions, &reporter).await?;
    let created = engine.create(request, &reporter, &cancel).await?;
    reporter.close();
    print(context, &created)?;
    if !was_there(&created) {
        telemetry::tell(context, &created.sandbox);
    }
    Ok(0)
}

/// What of the options is not about the sandbox.
struct How {
    key: Option<String>,
    no_wait: bool,
    dry_run: bool,
}

async fn at_server(context: &Context, client: &Client, wish: Wish, how: How) -> Result<u8, UserError> {
    let cancel = Cancel::new();
    let _interrupts = Interrupts::receive(Meaning::Undo, &cancel)?;
    let request = tokio::select! {
        request = wish.there(context, client) => request?,
        () = cancel.cancelled() => return Err(remote::create::interrupted()),
    };
    if how.dry_run {
        print_plan(context, &client.plan(&request).await?)?;
        return Ok(0);
    }
    let key = how.key.map_or_else(|| Key::Fresh(client.fresh_key()), Key::Given);
    let created = if how.no_wait {
        client.accept(&request, key.as_str()).await?
    } else {
        remote::create::create(client, &request, &key, &cancel).await?
    };
    print(context, &created)?;
    if !was_there(&created) && !how.no_wait {
        telemetry::tell(context, &created.sandbox);
    }
    Ok(0)
}

fn was_there(created: &Created) -> bool {
    created.reused || created.replayed
}

fn print(context: &Context, created: &Created) -> Result<(), UserError> {
    let before = match (created.reused, created.replayed) {
        (true, _) => Some("for the same scope"),
        (false, true) => Some("by the same key"),
        (false, false) => None,
    };
    if let Some(before) = before {
        let note = context.error_paint.dim("note:");
        context.note(&format!("{note} it was made before, {before}"));
    }
    match context.format {
        Format::Json => json::print(created),
        Format::Table => sandbox::print(context, &created.sandbox),
    }
}

fn print_plan(context: &Context, plan: &Plan) -> Result<(), UserError> {
    if context.format == Format::Json {
        return json::print(plan);
    }
    let paint = context.paint;
    let mut table = Columns::new(paint, &[]);
    table.row([
        paint_free("profile"),
        format!("{} {} ({})", plan.profile.id, plan.profile.version, plan.profile_source),
    ]);
    table.row([paint_free("digest"), plan.profile_digest.clone()]);
    table.row([
        paint_free("backend"),
        format!(
            "{} on {}",
            plan.extension_id,
            plan.host.as_deref().unwrap_or("this machine")
        ),
    ]);
    table.row([paint_free("time to live"), human::span(plan.ttl.as_secs())]);
    table.row([paint_free("costs at most"), plan.quote.worst_case.to_string()]);
    for (name, value) in &plan.inputs {
        table.row([format!("input {name}"), value.clone()]);
    }
    for limit in &plan.limits {
        table.row(limit_row(limit));
    }
    for candidate in &plan.route.candidates {
        let verdict = if candidate.accepted { "accepted" } else { "ruled out" };
        table.row([
            format!("candidate {}", of_candidate(candidate)),
            format!("{verdict}: {}", candidate.reason),
        ]);
    }
    table.print()
}

/// A candidate's backend, and its host where it has one.
pub(crate) fn of_candidate(candidate: &sandboxer_model::route::Candidate) -> String {
    match &candidate.host {
        Some(host) => format!("{} on {host}", candidate.extension_id),
        None => candidate.extension_id.clone(),
    }
}

fn paint_free(text: &str) -> String {
    text.to_owned()
}

/// A limit as two cells: what, and how much by what.
pub(crate) fn limit_row(limit: &sandboxer_model::isolation::Limit) -> [String; 2] {
    let json_name = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let name = json_name(serde_json::json!(limit.resource));
    let by = json_name(serde_json::json!(limit.enforced_by));
    let value = limit
        .value
        .map_or_else(|| "no limit".to_owned(), |value| format!("{value}"));
    let detail = if limit.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", limit.detail)
    };
    [format!("limit {name}"), format!("{value} by {by}{detail}")]
}

/// Starts the process that carries out an accepted operation after this one is gone.
#[expect(
    clippy::disallowed_methods,
    reason = "a background process of our own cannot go through HostExec, which waits"
)]
fn start_operating(context: &Context, operation: &str) -> Result<(), UserError> {
    use std::process::{Command, Stdio};
    Command::new("/proc/self/exe")
        .args(["__operate", operation, "--quiet", "--data-dir"])
        .arg(&context.data_dir)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(|_| ())
        .map_err(|error| {
            UserError::new(
                ErrorCode::Internal,
                format!("{operation} is accepted, but the process that carries it out cannot be started: {error}"),
            )
            .hint("any other sandboxer command on this data directory carries it out")
        })
}
