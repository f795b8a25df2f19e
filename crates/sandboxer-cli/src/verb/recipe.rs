//! The options of `create` and `run` as a request, and the command of `exec` and `run`.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use sandboxer_engine::api::{CreateRequest, ExecCommand, IfAbandoned};
use sandboxer_extension::ExecStdio;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::sandbox::Consumer;

use crate::args::{CommandArgs, RecipeArgs};
use crate::context::Context;
use crate::error::usage;
use crate::{env, value};

/// The request these options make.
///
/// # Errors
/// A value is wrong.
pub(crate) fn request(
    context: &Context,
    args: RecipeArgs,
    if_abandoned: IfAbandoned,
) -> Result<CreateRequest, UserError> {
    Ok(CreateRequest {
        profile: args.profile,
        inputs: value::pairs("--input", &args.inputs)?,
        consumer: Consumer {
            actor: value::actor(&args.actor)?,
            project: args.project,
            run_id: args.run_id,
        },
        scope: args.scope.as_deref().map(value::scope).transpose()?,
        ttl: args.ttl.as_deref().map(|text| value::ttl("--ttl", text)).transpose()?,
        host: args.host,
        default_host: env::HOST.get().map(|host| host.to_string_lossy().into_owned()),
        labels: value::labels(&args.labels)?,
        working_dir: context.working_dir.clone(),
        if_abandoned,
        ..CreateRequest::default()
    })
}

/// The command these options make.
///
/// # Errors
/// There is no command, or a variable is not KEY=VALUE.
pub(crate) fn command(args: CommandArgs, stdio: ExecStdio) -> Result<ExecCommand, UserError> {
    if args.argv.first().is_none_or(|program| program.is_empty()) {
        return Err(usage("there is no command to run").hint("write it after `--`, for example `-- uname -a`"));
    }
    Ok(ExecCommand {
        argv: args.argv.into_iter().map(OsStringExt::into_vec).collect(),
        env: value::pairs("--env", &args.env)?.into_iter().collect(),
        cwd: args.cwd,
        service: args.service,
        stdio,
    })
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
