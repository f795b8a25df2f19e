//! `whoami`: who the caller is at a server.

use sandboxer_model::error::UserError;

use crate::context::{Context, Format};
use crate::error::usage;
use crate::output::json;
use crate::output::table::Columns;

/// Shows who the caller is, by its key.
///
/// # Errors
/// `Usage` without a server; `Unauthenticated`.
pub(crate) async fn whoami(context: &Context) -> Result<u8, UserError> {
    let Some(client) = context.remote()? else {
        return Err(usage("without a server everybody on this machine is who they are")
            .hint("name a server with `--api` or SANDBOXER_API"));
    };
    let who = client.whoami().await?;
    if context.format == Format::Json {
        json::print(&who)?;
        return Ok(0);
    }
    let mut table = Columns::new(context.paint, &[]);
    let grants: Vec<&str> = who.grants.iter().map(|grant| grant.name()).collect();
    let rows = [
        ("name", who.name),
        ("role", who.role.name().to_owned()),
        ("project", who.project.unwrap_or_else(|| "-".to_owned())),
        ("key", who.key_id),
        ("may", grants.join(" ")),
    ];
    for (name, value) in rows {
        table.row([name.to_owned(), value]);
    }
    table.print()?;
    Ok(0)
}
