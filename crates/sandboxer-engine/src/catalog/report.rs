//! Problems of a document as the one error users see.

use sandboxer_model::document::Diagnostic;
use sandboxer_model::error::{ErrorCode, UserError};

/// Problems shown in one error; `profiles check` shows all.
const SHOWN: usize = 8;

/// The error of a document with these problems.
pub fn invalid(file: &str, problems: &[Diagnostic]) -> UserError {
    let mut lines: Vec<String> = problems.iter().take(SHOWN).map(Diagnostic::to_string).collect();
    if problems.len() > SHOWN {
        lines.push(format!("and {} more", problems.len() - SHOWN));
    }
    UserError::new(ErrorCode::InvalidProfile, lines.join("\n")).hint(format!(
        "after a change, check it with `sandboxer profiles check {file}`"
    ))
}
