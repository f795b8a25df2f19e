//! `__docs`: reference pages made from this program, for `cargo xtask generate`.

use sandboxer_model::error::UserError;

use crate::args::DocsPage;
use crate::output::json;
use crate::{app, env};

/// Prints one page.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn docs(page: DocsPage) -> Result<u8, UserError> {
    match page {
        DocsPage::Env => json::print_text(&env::markdown())?,
        DocsPage::Cli => {
            let mut text =
                String::from("# Command line\n\nMade by `cargo xtask generate` from the help of each verb.\n");
            write(&mut app::command(), "sandboxer", &mut text);
            json::print_text(&text)?;
        }
    }
    Ok(0)
}

fn write(command: &mut clap::Command, path: &str, text: &mut String) {
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.trim().lines().map(str::trim_end).collect();
    text.push_str(&format!("\n## `{path}`\n\n```text\n{}\n```\n", help.join("\n")));
    for verb in command.get_subcommands_mut().filter(|verb| !verb.is_hide_set()) {
        let path = format!("{path} {}", verb.get_name());
        write(verb, &path, text);
    }
}
