//! `audit`: who did what at a server, and whether the log of it is whole.

use sandboxer_api::audit::{AuditRow, AuditVerdict};
use sandboxer_model::error::{ErrorCode, UserError};

use crate::args::AuditVerb;
use crate::context::{Context, Format};
use crate::output::json;
use crate::output::table::Columns;

/// Does one of the verbs.
///
/// # Errors
/// Those of the engine; `StoreCorrupt` when the log is not whole.
pub(crate) async fn audit(context: &Context, verb: AuditVerb) -> Result<u8, UserError> {
    let service = context.service_to_look().await?;
    match verb {
        AuditVerb::List(args) => print(context, &service.audit(args.limit).await?)?,
        AuditVerb::Verify => return judge(context, &service.verify_audit().await?),
    }
    Ok(0)
}

fn print(context: &Context, rows: &[AuditRow]) -> Result<(), UserError> {
    if context.format == Format::Json {
        return json::print(rows);
    }
    let headlines = ["SEQ", "TIME", "ACTION", "OBJECT", "NAME", "PROJECT", "FROM", "STATUS"];
    let mut table = Columns::new(context.paint, &headlines);
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    for row in rows {
        table.row([
            row.seq.to_string(),
            format!("{:.3}", row.at),
            row.action.clone(),
            or_dash(&row.object),
            or_dash(&row.name),
            or_dash(&row.project),
            or_dash(&row.address),
            row.status.to_string(),
        ]);
    }
    table.print()
}

fn judge(context: &Context, verdict: &AuditVerdict) -> Result<u8, UserError> {
    match context.format {
        Format::Json => json::print(verdict)?,
        Format::Table => {
            let mut table = Columns::new(context.paint, &[]);
            let paint = context.paint;
            let intact = if verdict.intact {
                paint.good("yes")
            } else {
                paint.bad("no")
            };
            table.row(["whole".to_owned(), intact]);
            table.row(["rows".to_owned(), verdict.rows.to_string()]);
            table.row([
                "last".to_owned(),
                verdict.last.clone().unwrap_or_else(|| "-".to_owned()),
            ]);
            table.print()?;
        }
    }
    match (&verdict.broken, verdict.intact) {
        (None, true) => Ok(0),
        (broken, _) => {
            let why = broken.as_ref().map_or_else(
                || "it is not as it was written".to_owned(),
                |row| format!("row {}: {}", row.seq, row.why),
            );
            Err(
                UserError::new(ErrorCode::StoreCorrupt, format!("the audit log is not whole: {why}"))
                    .hint("compare it with a copy: somebody changed the database, or the disk did"),
            )
        }
    }
}
