//! `projects`: what projects may use.

use sandboxer_api::identity::{Project, SetProject};
use sandboxer_model::error::UserError;

use crate::args::{ProjectsVerb, SetProjectArgs};
use crate::context::{Context, Format};
use crate::output::json;
use crate::output::table::Columns;

/// Does one of the verbs.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn projects(context: &Context, verb: ProjectsVerb) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let service = context.service(&reporter).await?;
    let one = match verb {
        ProjectsVerb::List => {
            let all = service.projects().await?;
            reporter.close();
            match context.format {
                Format::Json => json::print(&all)?,
                Format::Table => print(context, &all)?,
            }
            return Ok(0);
        }
        ProjectsVerb::Show(args) => service.project(&args.project).await?,
        ProjectsVerb::Set(args) => service.set_project(&args.project.project, &change(&args)).await?,
    };
    reporter.close();
    match context.format {
        Format::Json => json::print(&one)?,
        Format::Table => print(context, std::slice::from_ref(&one))?,
    }
    Ok(0)
}

fn change(args: &SetProjectArgs) -> SetProject {
    SetProject {
        max_live: args.max_live,
        creates_per_second: args.creates_per_second,
        burst: args.burst,
    }
}

fn print(context: &Context, projects: &[Project]) -> Result<(), UserError> {
    let mut table = Columns::new(context.paint, &["PROJECT", "LIVE", "CREATES/S", "BURST"]);
    for one in projects {
        table.row([
            one.project.clone(),
            format!("{}/{}", one.live, one.max_live),
            one.creates_per_second.to_string(),
            one.burst.to_string(),
        ]);
    }
    table.print()
}
