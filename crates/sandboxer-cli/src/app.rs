//! From the command line to an exit code.

use std::ffi::OsString;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use extension_native::Spare;
use sandboxer_model::error::{ErrorCode, UserError};

use crate::args::{Cli, ColorMode, Globals, Internal, InternalVerb, OutputMode, ServeArgs, Verb};
use crate::context::{self, Context};
use crate::error::{self, ExitCodes};
use crate::output::color::Paint;
use crate::output::shown;
use crate::{fast, terminal, verb};

/// Threads of a server that take turns at its tasks; what blocks has threads of its own.
const WORKERS: usize = 4;

/// Whether this command line most likely makes a sandbox; it may still be wrong, or come to nothing.
pub(crate) fn makes_a_sandbox(words: impl IntoIterator<Item = OsString>) -> bool {
    let mut words = words.into_iter().skip(1);
    let verb = words.next();
    verb.is_some_and(|verb| verb == "run" || verb == "create")
        && words.take_while(|word| word != "--").all(|word| {
            let word = word.to_str().unwrap_or_default();
            !matches!(word, "--dry-run" | "--no-wait" | "--help" | "-h" | "--api") && !word.starts_with("--api=")
        })
}

/// Runs the command line of this process; returns its exit code. A keeper for the sandbox it makes may wait already.
pub(crate) fn run(spare: Option<Spare>) -> u8 {
    let (clock, started) = context::clock();
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word.as_encoded_bytes().starts_with(b"__"))
    {
        return match Internal::try_parse() {
            Ok(Internal { globals, verb }) => answer(&globals, ExitCodes::ByKind, |globals| {
                internal(&Context::new(globals, clock, started, None)?, verb)
            }),
            Err(error) => refuse(&error),
        };
    }
    match fast::parse(std::env::args_os()).map_or_else(Cli::try_parse, Ok) {
        Ok(Cli { globals, verb }) => {
            let codes = match verb {
                Verb::Run(_) | Verb::Exec(_) => ExitCodes::OfCommand,
                _ => ExitCodes::ByKind,
            };
            answer(&globals, codes, |globals| {
                let context = Context::new(globals, clock, started, spare)?;
                context
                    .timings
                    .note("read the command line", Duration::ZERO, context.elapsed());
                dispatch(&context, verb)
            })
        }
        Err(error) => refuse(&error),
    }
}

fn answer(globals: &Globals, codes: ExitCodes, work: impl FnOnce(&Globals) -> Result<u8, UserError>) -> u8 {
    let outcome = work(globals);
    terminal::restore();
    outcome.unwrap_or_else(|error| {
        error::print(
            &error,
            context::error_paint(globals.color),
            globals.output == OutputMode::Json,
        );
        codes.of(error.code)
    })
}

fn dispatch(context: &Context, verb: Verb) -> Result<u8, UserError> {
    if let Some(name) = only_here(&verb) {
        context.only_here(name)?;
    }
    match verb {
        Verb::Completions { shell } => verb::completions::completions(shell),
        Verb::Man { dir } => verb::man::man(dir.as_deref()),
        Verb::Profiles { verb } => wait_for(context, verb::profiles::profiles(context, verb)),
        Verb::Extensions { verb } => wait_for(context, verb::extensions::extensions(context, verb)),
        Verb::Create(args) => wait_for(context, verb::create::create(context, args)),
        Verb::Run(args) => wait_for(context, verb::run::run(context, args)),
        Verb::Exec(args) => wait_for(context, verb::exec::exec(context, args)),
        Verb::Logs(args) => wait_for(context, verb::logs::logs(context, args)),
        Verb::Cp(args) => wait_for(context, verb::cp::cp(context, &args)),
        Verb::Get(args) => wait_for(context, verb::get::get(context, &args.id)),
        Verb::List(args) => wait_for(context, verb::list::list(context, args)),
        Verb::Wait(args) => wait_for(context, verb::wait::wait(context, args)),
        Verb::Destroy(args) => wait_for(context, verb::destroy::destroy(context, args)),
        Verb::Recreate(args) => wait_for(context, verb::recreate::recreate(context, &args.id)),
        Verb::Activate(args) => wait_for(context, verb::activate::activate(context, &args.id)),
        Verb::ExtendTtl(args) => wait_for(context, verb::extend_ttl::extend_ttl(context, args)),
        Verb::Expire(args) => wait_for(context, verb::expire::expire(context, args.apply)),
        Verb::Explain(args) => wait_for(context, verb::explain::explain(context, &args.id)),
        Verb::Reachability { verb } => wait_for(context, verb::reachability::reachability(context, verb)),
        Verb::Label(args) => wait_for(context, verb::label::label(context, args)),
        Verb::Events(args) => wait_for(context, verb::events::events(context, args)),
        Verb::Webhooks { verb } => wait_for(context, verb::webhooks::webhooks(context, verb)),
        Verb::Hosts { verb } => wait_for(context, verb::hosts::hosts(context, verb)),
        Verb::Inspect { verb } => wait_for(context, verb::inspect::inspect(context, verb)),
        Verb::Keys { verb } => wait_for(context, verb::keys::keys(context, verb)),
        Verb::Projects { verb } => wait_for(context, verb::projects::projects(context, verb)),
        Verb::Audit { verb } => wait_for(context, verb::audit::audit(context, verb)),
        Verb::Whoami => wait_for(context, verb::whoami::whoami(context)),
        Verb::ReapStale(args) => wait_for(context, verb::reap_stale::reap_stale(context, args)),
        Verb::Serve(args) => serve(context, &args),
        Verb::Status(args) => wait_for(context, verb::status::status(context, args.check)),
        Verb::Doctor(args) => wait_for(context, verb::doctor::doctor(context, args.fix)),
    }
}

/// The verb's name, if it is about this machine and no other.
fn only_here(verb: &Verb) -> Option<&'static str> {
    match verb {
        Verb::Serve(_) => Some("serve"),
        Verb::Doctor(_) => Some("doctor"),
        Verb::Completions { .. } => Some("completions"),
        Verb::Man { .. } => Some("man"),
        _ => None,
    }
}

fn internal(context: &Context, verb: InternalVerb) -> Result<u8, UserError> {
    match verb {
        InternalVerb::Operate { operation } => wait_for(context, verb::operate::operate(context, &operation)),
        InternalVerb::Deliver => wait_for(context, verb::deliver::deliver(context)),
        InternalVerb::Docs { page } => verb::docs::docs(page),
    }
}

/// Does the work of a verb; afterwards others are told what happened.
fn wait_for(context: &Context, work: impl Future<Output = Result<u8, UserError>>) -> Result<u8, UserError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time();
    if context.api.is_some() {
        // Only a server is reached through the runtime: commands of this machine do not pay for it.
        builder.enable_io();
    }
    let runtime = builder
        .build()
        .map_err(|error| UserError::new(ErrorCode::Internal, format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(async {
        let outcome = work.await;
        context.deliver().await;
        context.tell_of_damage(outcome.as_ref().err());
        outcome
    });
    // The process ends right after this: threads that still wait inside the runtime must not be waited for.
    std::mem::forget(runtime);
    outcome
}

/// A server has threads and sockets, which no other verb pays for.
fn serve(context: &Context, args: &ServeArgs) -> Result<u8, UserError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|error| UserError::new(ErrorCode::Internal, format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(verb::serve::serve(context, args));
    // What is left of it is in the store.
    runtime.shutdown_background();
    outcome
}

/// Help, version and everything that is not a command line.
fn refuse(error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        let _ = error.print();
        return 0;
    }
    // It quotes what was written, whatever that is.
    let text = error.render();
    let text = match context::error_paint(ColorMode::Auto) {
        Paint::Colored => text.ansi().to_string(),
        Paint::Plain => text.to_string(),
    };
    eprint!("{}", shown::painted(&text));
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
            "--output" | "--data-dir" | "--color" | "--api" => {
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
    command.term_width(100)
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
