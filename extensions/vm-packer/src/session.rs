//! A command in a workspace, as the contract sees it.

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::time::Duration;

use sandboxer_extension::{ErrorKind, ExecExit, ExecRequest, ExecSession, ExecStdio, ExtensionError, async_trait};
use sandboxer_host::machine::{AttachIo, Attached, Terminal};
use sandboxer_host::{Machine, Program};

use crate::attach::directory;

/// Words: DIRECTORY; then where to start inside of it (or nothing), a number of variables, the variables, the command.
const TEXT: &str = r#"cd "$1" || exit 125; shift
[ -z "$1" ] || cd "$1" || exit 125; shift
count=$1; shift
while [ "$count" -gt 0 ]; do export "$1"; shift; count=$((count - 1)); done
exec "$@""#;

/// Starts a command.
///
/// # Errors
/// `Unsupported` for terminals and detached commands, `Unavailable`.
pub(crate) fn start(machine: &Machine, id: &str, request: ExecRequest) -> Result<Box<dyn ExecSession>, ExtensionError> {
    let ExecStdio::Pipes { stdin, stdout, stderr } = request.stdio else {
        return Err(ExtensionError::unsupported("ext.vm-packer", "exec_tty")
            .hint("log in with ssh: see `sandboxer reachability show`"));
    };
    if let Some(service) = request.service {
        return Err(ExtensionError::new(
            ErrorKind::Invalid,
            format!("a workspace has no service `{service}`"),
        ));
    }
    let program = Program {
        text: Cow::Borrowed(TEXT),
        words: vec![directory(id)],
        timeout: Duration::ZERO,
        output_cap: 0,
    };
    let mut argv = vec![
        request.cwd.unwrap_or_default().into_bytes(),
        request.env.len().to_string().into_bytes(),
    ];
    argv.extend(
        request
            .env
            .into_iter()
            .map(|(name, value)| format!("{name}={value}").into_bytes()),
    );
    argv.extend(request.argv);
    let io = AttachIo {
        stdin,
        stdout,
        stderr,
        terminal: Terminal::No,
    };
    Ok(Box::new(Session(machine.attach(&program, &argv, io)?)))
}

struct Session(Attached);

#[async_trait]
impl ExecSession for Session {
    fn pid(&self) -> u32 {
        0
    }

    fn take_terminal(&mut self) -> Option<OwnedFd> {
        None
    }

    async fn wait(&mut self) -> Result<ExecExit, ExtensionError> {
        let code = self.0.wait().await?;
        Ok(ExecExit::Code(u8::try_from(code).unwrap_or(255)))
    }

    fn signal(&mut self, _: u8) -> Result<(), ExtensionError> {
        Err(ExtensionError::unsupported("ext.vm-packer", "signals"))
    }
}
