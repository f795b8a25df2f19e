//! `completions`: the completion script of a shell.

use sandboxer_model::error::UserError;

use crate::app;
use crate::output::json;

/// Prints the script.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<u8, UserError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut app::command(), "sandboxer", &mut script);
    json::print_text(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
