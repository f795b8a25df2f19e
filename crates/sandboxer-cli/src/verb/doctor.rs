//! `doctor`: what this machine can enforce, and how to fix what it cannot.

use extension_native::doctor::{self, Check, CheckState};
use sandboxer_model::error::{ErrorCode, UserError};
use serde::Serialize;

use crate::context::{Context, Format};
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
}

/// Examines this machine.
///
/// # Errors
/// `MissingPrerequisite` when something is missing that nothing stands in for.
pub(crate) fn doctor(context: &Context) -> Result<u8, UserError> {
    let mut checks = vec![data_dir(context)];
    checks.extend(doctor::report().checks);
    let missing: Vec<String> = checks
        .iter()
        .filter(|check| check.state == CheckState::Missing)
        .map(|check| check.name.clone())
        .collect();
    let findings = Findings {
        version: env!("CARGO_PKG_VERSION"),
        data_dir: context.data_dir.display().to_string(),
        checks,
    };
    match context.format {
        Format::Json => json::print(&findings)?,
        Format::Table => json::print_text(&text(context, &findings))?,
    }
    if missing.is_empty() {
        return Ok(0);
    }
    Err(UserError::new(
        ErrorCode::MissingPrerequisite,
        format!("this machine lacks {}", missing.join(", ")),
    )
    .hint("the list above says how to get each"))
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
    text
}
