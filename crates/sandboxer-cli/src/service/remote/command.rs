//! A command inside a sandbox of a server, with its input and output here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sandboxer_api::stream::{Size, Start};
use sandboxer_client::{Client, Exec, Input, Output, Outputs};
use sandboxer_extension::port::Clock;
use sandboxer_extension::{ErrorKind, ExtensionError, Signaller};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;
use tokio::sync::mpsc;

use super::feed::{self, Drain};
use crate::args::CommandArgs;
use crate::interrupt::Interrupts;
use crate::verb::recipe;
use crate::{terminal, value};

/// How long a signal waits behind input that the command does not read, before the connection is given up instead: that
/// ends the command, too.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a command gets that writes to somebody who is gone.
const SIGPIPE: u8 = 13;

/// What these options ask a server to run.
///
/// # Errors
/// There is no command, it is no text, or a variable is not KEY=VALUE.
pub(crate) fn start(args: CommandArgs) -> Result<Start, UserError> {
    if args.argv.first().is_none_or(|program| program.is_empty()) {
        return Err(recipe::no_command());
    }
    let mut argv = Vec::new();
    for word in args.argv {
        argv.push(word.into_string().map_err(|word| {
            let what = format!(
                "`{}` is no UTF-8, and a server takes no other words",
                word.to_string_lossy()
            );
            UserError::new(ErrorCode::InvalidInput, what).hint("pass such bytes through standard input")
        })?);
    }
    let terminal = args.tty.then(terminal::size).transpose()?;
    Ok(Start {
        argv,
        env: value::pairs("--env", &args.env)?,
        cwd: args.cwd,
        service: args.service,
        terminal: terminal.map(|size| Size {
            rows: size.rows,
            columns: size.columns,
        }),
    })
}

/// Runs a command to its end; what a shell would report. Signals of this process go to it.
///
/// # Errors
/// Those of the server.
pub(crate) async fn run(
    client: &Client,
    id: &SandboxId,
    start: &Start,
    clock: &dyn Clock,
    interrupts: &Interrupts,
) -> Result<u8, UserError> {
    interrupts.watch();
    interrupts.expect_command();
    let attached = client.attach(id, start).await;
    let (signals, orders) = mpsc::unbounded_channel();
    let outcome = match attached {
        Ok(exec) => {
            interrupts.pass_on_to(Some(signaller(signals.clone())));
            talk(exec, start, clock, signals, orders).await
        }
        Err(error) => Err(error),
    };
    interrupts.pass_on_to(None);
    terminal::restore();
    outcome
}

/// What the other side is told besides bytes.
enum Order {
    Signal(u8),
    Resize(Size),
}

fn signaller(orders: mpsc::UnboundedSender<Order>) -> Signaller {
    Arc::new(move |signal| {
        orders
            .send(Order::Signal(signal))
            .map_err(|_| ExtensionError::new(ErrorKind::NotFound, "the command has ended"))
    })
}

async fn talk(
    exec: Exec,
    start: &Start,
    clock: &dyn Clock,
    orders: mpsc::UnboundedSender<Order>,
    mut ordered: mpsc::UnboundedReceiver<Order>,
) -> Result<u8, UserError> {
    if start.terminal.is_some() {
        terminal::make_raw()?;
        let orders = orders.clone();
        terminal::follow_size(move |size| {
            let (rows, columns) = (size.rows, size.columns);
            orders.send(Order::Resize(Size { rows, columns })).is_ok()
        })?;
    }
    let gone = || {
        let orders = orders.clone();
        move || {
            let _ = orders.send(Order::Signal(SIGPIPE));
        }
    };
    let (stdout, stderr) = (rustix::stdio::stdout(), rustix::stdio::stderr());
    let drains = [
        Drain::start("output", stdout, gone())?,
        Drain::start("errors", stderr, gone())?,
    ];
    let mut typed = feed::input()?;
    let (mut input, mut outputs) = exec.split();
    let exit = {
        let reading = read(&mut outputs, &drains);
        tokio::pin!(reading);
        tokio::select! {
            biased;
            exit = &mut reading => exit,
            given_up = write(&mut input, &mut typed, &mut ordered, clock) => match given_up {
                Some(signal) => Ok(128u8.saturating_add(signal)),
                // Nothing can be sent any more; how it ended may be on its way.
                None => reading.await,
            },
        }
    };
    let [output, errors] = drains;
    output.finish();
    errors.finish();
    exit
}

/// Passes on what comes until the end.
async fn read(outputs: &mut Outputs, [stdout, stderr]: &[Drain; 2]) -> Result<u8, UserError> {
    loop {
        match outputs.next().await? {
            Output::Started(_) => {}
            Output::Stdout(bytes) => stdout.put(bytes).await,
            Output::Stderr(bytes) => stderr.put(bytes).await,
            Output::Exit(code) => return Ok(code),
        }
    }
}

/// Passes on input, signals and sizes until nothing can be sent any more. A signal: the command does not read, so that it
/// could not be told.
async fn write(
    input: &mut Input,
    typed: &mut mpsc::Receiver<Bytes>,
    orders: &mut mpsc::UnboundedReceiver<Order>,
    clock: &dyn Clock,
) -> Option<u8> {
    let mut open = true;
    loop {
        let chunk = tokio::select! {
            biased;
            Some(order) = orders.recv() => {
                obey(input, order).await.ok()?;
                continue;
            }
            chunk = typed.recv(), if open => chunk,
        };
        let Some(chunk) = chunk else {
            open = false;
            input.end().await.ok()?;
            continue;
        };
        let mut waiting = Vec::new();
        {
            let sending = input.stdin(&chunk);
            tokio::pin!(sending);
            loop {
                tokio::select! {
                    biased;
                    sent = &mut sending => {
                        sent.ok()?;
                        break;
                    }
                    Some(order) = orders.recv() => {
                        let signal = match order {
                            Order::Signal(signal) => signal,
                            Order::Resize(_) => { waiting.push(order); continue; }
                        };
                        waiting.push(order);
                        tokio::select! {
                            biased;
                            sent = &mut sending => {
                                sent.ok()?;
                                break;
                            }
                            () = clock.sleep(PATIENCE) => return Some(signal),
                        }
                    }
                }
            }
        }
        for order in waiting {
            obey(input, order).await.ok()?;
        }
    }
}

async fn obey(input: &mut Input, order: Order) -> Result<(), UserError> {
    match order {
        Order::Signal(signal) => input.signal(signal).await,
        Order::Resize(size) => input.resize(size).await,
    }
}
