//! `doctor`: what this machine can enforce, and how to fix what it cannot; what is not as it should be, and what came of
//! fixing it.

use extension_native::doctor::{self, Check, CheckState};
use sandboxer_engine::api::{Drift, DriftReport, DriftResult, Remedy};
use sandboxer_model::error::{ErrorCode, UserError};
use serde::Serialize;

use crate::context::{Context, Format, Warm};
use crate::output::json;

/// What was found, as programs read it.
#[derive(Serialize)]
struct Findings {
    /// This program.
    version: &'static str,
    /// Where records and sandboxes are kept.
    data_dir: String,
    /// One entry per thing that was tried.
    checks: Vec<Check>,
    /// What is not as it should be; `null`: the database cannot be used.
    drift: Option<DriftReport>,
}

/// Examines this machine, and what is stored against what is true. With `fix` it does what is safe to do about that.
///
/// # Errors
/// `MissingPrerequisite` when something is missing that nothing stands in for; why the database cannot be used; `Stuck`
/// when something is left that needs a person.
pub(crate) async fn doctor(context: &Context, fix: bool) -> Result<u8, UserError> {
    let mut checks = vec![data_dir(context)];
    checks.extend(doctor::report().checks);
    let looked = drift(context, fix).await;
    checks.push(database(&looked));
    let missing: Vec<String> = checks
        .iter()
        .filter(|check| check.state == CheckState::Missing && check.name != DATABASE)
        .map(|check| check.name.clone())
        .collect();
    let (drift, broken) = match looked {
        Ok(drift) => (Some(drift), None),
        Err(error) => (None, Some(error)),
    };
    let findings = Findings {
        version: env!("CARGO_PKG_VERSION"),
        data_dir: context.data_dir.display().to_string(),
        checks,
        drift,
    };
    match context.format {
        Format::Json => json::print(&findings)?,
        Format::Table => json::print_text(&text(context, &findings))?,
    }
    if !missing.is_empty() {
        return Err(UserError::new(
            ErrorCode::MissingPrerequisite,
            format!("this machine lacks {}", missing.join(", ")),
        )
        .hint("the list above says how to get each"));
    }
    if let Some(error) = broken {
        return Err(error);
    }
    let drifts = findings.drift.map(|drift| drift.drifts).unwrap_or_default();
    match drifts.iter().filter(|drift| drift.needs_a_person()).count() {
        0 => Ok(0),
        left => Err(UserError::new(
            ErrorCode::Stuck,
            format!("{left} of {} findings need a person", drifts.len()),
        )
        .hint("the list above says what to do about each")),
    }
}

const DATABASE: &str = "database";

/// Not preceded by recovery, which would change what is to be shown.
async fn drift(context: &Context, fix: bool) -> Result<DriftReport, UserError> {
    let engine = context.open_to_look(context.extensions(Warm::No)?).await?;
    if !fix {
        return engine.drift().await;
    }
    let reporter = context.reporter();
    let report = engine.fix_drift(&reporter).await;
    reporter.close();
    report
}

fn database(looked: &Result<DriftReport, UserError>) -> Check {
    let (state, detail, fix) = match looked {
        Ok(report) => {
            let detail = match report.drifts.len() {
                0 => "every row can be read, and all is as it is stored".to_owned(),
                1 => "one thing is not as it should be".to_owned(),
                many => format!("{many} things are not as they should be"),
            };
            let state = if report.drifts.is_empty() {
                CheckState::Ok
            } else {
                CheckState::Degraded
            };
            (state, detail, None)
        }
        Err(error) => (CheckState::Missing, error.message.clone(), error.hints.first().cloned()),
    };
    Check {
        name: DATABASE.to_owned(),
        state,
        detail,
        fix,
    }
}

fn data_dir(context: &Context) -> Check {
    let existing = context.data_dir.ancestors().find(|dir| dir.symlink_metadata().is_ok());
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    let writable = existing.is_some_and(|dir| dir.is_dir() && rustix::fs::access(dir, access).is_ok());
    let dir = context.data_dir.display();
    Check {
        name: "data_directory".to_owned(),
        state: if writable { CheckState::Ok } else { CheckState::Missing },
        detail: if writable {
            format!("{dir} can be written")
        } else {
            format!("{dir} cannot be written")
        },
        fix: (!writable).then(|| "pass `--data-dir DIR` or set SANDBOXER_DATA_DIR".to_owned()),
    }
}

fn text(context: &Context, findings: &Findings) -> String {
    let paint = context.paint;
    let mut text = format!("sandboxer {}, data in {}\n\n", findings.version, findings.data_dir);
    for check in &findings.checks {
        let mark = match check.state {
            CheckState::Ok => paint.good("ok      "),
            CheckState::Degraded => paint.warn("degraded"),
            CheckState::Missing => paint.bad("missing "),
        };
        text.push_str(&format!("{mark}  {:<16} {}\n", check.name, check.detail));
        if let Some(fix) = &check.fix {
            text.push_str(&format!("{:28}{} {fix}\n", "", paint.hint("fix:")));
        }
    }
    let Some(drift) = &findings.drift else { return text };
    for one in &drift.drifts {
        text.push_str(&drift_text(context, one));
    }
    for unseen in &drift.unseen {
        text.push_str(&format!("{}  {unseen}\n", paint.warn("unseen  ")));
    }
    text
}

fn drift_text(context: &Context, drift: &Drift) -> String {
    let paint = context.paint;
    let mark = match drift.result {
        DriftResult::Fixed => paint.good("fixed   "),
        DriftResult::Left => paint.bad("left    "),
        DriftResult::Proposed => paint.warn("drift   "),
    };
    let mut text = format!("{mark}  {:<17} {}: {}\n", drift.class.name(), drift.on, drift.found);
    let by = match (drift.result, drift.by) {
        (DriftResult::Proposed, Remedy::Doctor) => " (`sandboxer doctor --fix`)",
        _ => "",
    };
    let mut line = |name: &str, words: &str| text.push_str(&format!("{:28}{} {words}\n", "", paint.hint(name)));
    line("action:", &format!("{}{by}", drift.action));
    if let Some(outcome) = &drift.outcome {
        line("came of it:", outcome);
    }
    text
}
