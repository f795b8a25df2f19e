//! `man`: the manual.

use std::path::Path;

use sandboxer_model::error::{ErrorCode, UserError};

use crate::app;
use crate::output::json;

/// Prints the manual page, or writes one page per verb into `dir`.
///
/// # Errors
/// Standard output or the directory cannot be written.
pub(crate) fn man(dir: Option<&Path>) -> Result<u8, UserError> {
    let failed = |error: std::io::Error| {
        let place = dir.map_or_else(|| "standard output".to_owned(), |dir| dir.display().to_string());
        UserError::new(
            ErrorCode::InvalidInput,
            format!("cannot write the manual to {place}: {error}"),
        )
        .hint("name a directory that can be written")
    };
    match dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(failed)?;
            clap_mangen::generate_to(app::command(), dir).map_err(failed)?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(app::command())
                .render(&mut page)
                .map_err(failed)?;
            json::print_text(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(0)
}
