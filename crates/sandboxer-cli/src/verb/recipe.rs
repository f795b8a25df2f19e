//! The options of `create` and `run` as a request, and the command of `exec` and `run`.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use sandboxer_api::request::{AskedConsumer, CreateSandbox};
use sandboxer_client::Client;
use sandboxer_engine::api::{CreateRequest, ExecCommand, IfAbandoned};
use sandboxer_extension::ExecStdio;
use sandboxer_model::duration::Span;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::profile::Scope;
use sandboxer_model::sandbox::{Actor, Consumer};

use crate::args::{CommandArgs, RecipeArgs};
use crate::context::Context;
use crate::error::usage;
use crate::service::remote::inputs;
use crate::{env, value};

/// What is to be made: the options, read.
pub(crate) struct Wish {
    profile: Option<String>,
    inputs: BTreeMap<String, String>,
    /// Who asks, where that is said: a key says it otherwise.
    actor: Option<Actor>,
    project: Option<String>,
    run_id: Option<String>,
    scope: Option<Scope>,
    ttl: Option<Span>,
    host: Option<String>,
    labels: BTreeMap<String, String>,
}

impl Wish {
    /// Reads the options.
    ///
    /// # Errors
    /// A value is wrong.
    pub(crate) fn read(args: RecipeArgs) -> Result<Wish, UserError> {
        Ok(Wish {
            profile: args.profile,
            inputs: value::pairs("--input", &args.inputs)?,
            actor: args.actor.as_deref().map(value::actor).transpose()?,
            project: args.project,
            run_id: args.run_id,
            scope: args.scope.as_deref().map(value::scope).transpose()?,
            ttl: args.ttl.as_deref().map(|text| value::ttl("--ttl", text)).transpose()?,
            host: args.host,
            labels: value::labels(&args.labels)?,
        })
    }

    /// The same for one command and nobody else: without a scope to be found by.
    pub(crate) fn for_one_command(mut self) -> Wish {
        self.scope = Some(Scope::Session);
        self
    }

    /// The request to the engine in this process.
    pub(crate) fn here(self, context: &Context, if_abandoned: IfAbandoned) -> CreateRequest {
        CreateRequest {
            profile: self.profile,
            inputs: self.inputs,
            consumer: Consumer {
                actor: self.actor.unwrap_or(Actor::Adm),
                project: self.project,
                run_id: self.run_id,
            },
            scope: self.scope,
            ttl: self.ttl,
            host: self.host,
            default_host: env::HOST.get().map(|host| host.to_string_lossy().into_owned()),
            labels: self.labels,
            working_dir: context.working_dir.clone(),
            if_abandoned,
            ..CreateRequest::default()
        }
    }

    /// The request to a server; directories are uploaded first.
    ///
    /// # Errors
    /// The profile is a file, or a directory cannot be read; those of the server.
    pub(crate) async fn there(self, context: &Context, client: &Client) -> Result<CreateSandbox, UserError> {
        let inputs = inputs::upload(context, client, self.profile.as_deref(), self.inputs).await?;
        let consumer = AskedConsumer {
            actor: self.actor,
            project: self.project,
            run_id: self.run_id,
        };
        Ok(CreateSandbox {
            profile: self.profile,
            inputs,
            consumer: Some(consumer).filter(|asked| *asked != AskedConsumer::default()),
            scope: self.scope,
            ttl: self.ttl,
            host: self.host,
            labels: self.labels,
        })
    }
}

/// The command these options make.
///
/// # Errors
/// There is no command, or a variable is not KEY=VALUE.
pub(crate) fn command(args: CommandArgs, stdio: ExecStdio) -> Result<ExecCommand, UserError> {
    if args.argv.first().is_none_or(|program| program.is_empty()) {
        return Err(no_command());
    }
    Ok(ExecCommand {
        argv: args.argv.into_iter().map(OsStringExt::into_vec).collect(),
        env: value::pairs("--env", &args.env)?.into_iter().collect(),
        cwd: args.cwd,
        service: args.service,
        stdio,
    })
}

/// Nothing is to be run.
pub(crate) fn no_command() -> UserError {
    usage("there is no command to run").hint("write it after `--`, for example `-- uname -a`")
}

/// This process's own input and output, for the command to use.
///
/// # Errors
/// The process is out of file descriptors.
pub(crate) fn own_stdio() -> Result<ExecStdio, UserError> {
    let duplicate = |fd| -> Result<OwnedFd, UserError> {
        rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(|error| {
            UserError::new(
                ErrorCode::Internal,
                format!("cannot pass standard input and output on: {error}"),
            )
        })
    };
    Ok(ExecStdio::Pipes {
        stdin: duplicate(rustix::stdio::stdin())?,
        stdout: duplicate(rustix::stdio::stdout())?,
        stderr: duplicate(rustix::stdio::stderr())?,
    })
}
