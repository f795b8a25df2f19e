//! From the command line to an exit code.

use clap::{CommandFactory as _, Parser as _};
use sandboxer_model::error::{ErrorCode, UserError};

use crate::args::{Cli, OutputMode, Verb};
use crate::context::{self, Context};
use crate::error::{self, ExitCodes};
use crate::{terminal, verb};

/// Runs the command line of this process; returns its exit code.
pub(crate) fn run() -> u8 {
    let (clock, started) = context::clock();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let json_errors = cli.globals.output == OutputMode::Json;
    let paint = context::error_paint(cli.globals.color);
    let codes = match cli.verb {
        Verb::Run(_) | Verb::Exec(_) => ExitCodes::OfCommand,
        _ => ExitCodes::ByKind,
    };
    let outcome = Context::new(&cli.globals, clock, started).and_then(|context| {
        context
            .timings
            .note("read the command line", std::time::Duration::ZERO, context.elapsed());
        dispatch(&context, cli.verb)
    });
    terminal::restore();
    outcome.unwrap_or_else(|error| {
        error::print(&error, paint, json_errors);
        codes.of(error.code)
    })
}

fn dispatch(context: &Context, verb: Verb) -> Result<u8, UserError> {
    match verb {
        Verb::Completions { shell } => return verb::completions::completions(shell),
        Verb::Man { dir } => return verb::man::man(dir.as_deref()),
        Verb::Docs { page } => return verb::docs::docs(page),
        Verb::Profiles { verb } => return verb::profiles::profiles(context, verb),
        Verb::Extensions { verb } => return verb::extensions::extensions(context, verb),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| UserError::new(ErrorCode::Internal, format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(async {
        match verb {
            Verb::Create(args) => verb::create::create(context, args).await,
            Verb::Run(args) => verb::run::run(context, args).await,
            Verb::Exec(args) => verb::exec::exec(context, args).await,
            Verb::Get(args) => verb::get::get(context, &args.id).await,
            Verb::List(args) => verb::list::list(context, args).await,
            Verb::Wait(args) => verb::wait::wait(context, args).await,
            Verb::Destroy(args) => verb::destroy::destroy(context, args).await,
            Verb::Recreate(args) => verb::recreate::recreate(context, &args.id).await,
            Verb::ExtendTtl(args) => verb::extend_ttl::extend_ttl(context, args).await,
            Verb::Expire(args) => verb::expire::expire(context, args.apply).await,
            Verb::Explain(args) => verb::explain::explain(context, &args.id).await,
            Verb::Reachability { verb } => verb::reachability::reachability(context, verb).await,
            Verb::Label(args) => verb::label::label(context, args).await,
            Verb::Events(args) => verb::events::events(context, args.id.as_deref()).await,
            Verb::Doctor => verb::doctor::doctor(context).await,
            Verb::Operate { operation } => verb::operate::operate(context, &operation).await,
            Verb::Completions { .. }
            | Verb::Man { .. }
            | Verb::Docs { .. }
            | Verb::Profiles { .. }
            | Verb::Extensions { .. } => Err(UserError::new(ErrorCode::Internal, "a verb was dispatched twice")),
        }
    });
    // The process ends right after this: threads that still wait inside the runtime must not be waited for.
    std::mem::forget(runtime);
    outcome
}

/// Help, version and everything that is not a command line.
fn refuse(error: &clap::Error) -> u8 {
    let _ = error.print();
    if !error.use_stderr() {
        return 0;
    }
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if asks_for_json(&words) {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let user_error = error::usage(message).hint("see `sandboxer --help`");
        if let Ok(object) = serde_json::to_string(&user_error) {
            eprintln!("{object}");
        }
    }
    match verb_of(&words) {
        Some("run" | "exec") => error::OWN_ERROR,
        _ => ErrorCode::Usage.exit_code(),
    }
}

fn asks_for_json(words: &[String]) -> bool {
    let own = words.split(|word| word == "--").next().unwrap_or_default();
    own.iter().any(|word| word == "--output=json") || own.windows(2).any(|pair| pair == ["--output", "json"])
}

/// The verb of a command line that could not be parsed.
fn verb_of(words: &[String]) -> Option<&str> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--output" | "--data-dir" | "--color" => {
                words.next();
            }
            option if option.starts_with('-') => {}
            verb => return Some(verb),
        }
    }
    None
}

/// The command line as a tree, for completions and documentation.
pub(crate) fn command() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn the_verb_is_found_behind_options() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(verb_of(&words("--output json -q exec --nope")), Some("exec"));
        assert_eq!(verb_of(&words("--output")), None);
        assert!(asks_for_json(&words("exec --output json x")));
        assert!(!asks_for_json(&words("exec x -- --output json")));
    }
}
