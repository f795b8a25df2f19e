//! `serve`: run the reconcilers and answer the API until told to stop. Timers only decide when to look; what is true is in the
//! store and at the backends, so that a server that is killed loses nothing.

mod api;
mod log;
mod manager;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sandboxer_engine::api::Silent;
use sandboxer_engine::{Cancel, Effort, Engine, Reconciler, reconcilers};
use sandboxer_model::error::{ErrorCode, UserError};
use tokio::sync::Notify;

use self::log::Log;
use self::manager::Manager;
use crate::args::ServeArgs;
use crate::context::{Context, Warm};
use crate::interrupt::{Interrupts, Meaning};

/// From one look to the next, for what costs a query.
const TICK: Duration = Duration::from_secs(1);
/// From one look whether a sweep is due to the next.
const SWEEP_TICK: Duration = Duration::from_secs(5);
/// From one look whether another process wrote something to the next.
const NUDGE_TICK: Duration = Duration::from_millis(250);
/// How long work at hand may take once the server was told to stop. What is not done then is left to whoever comes next.
const DRAIN: Duration = Duration::from_secs(30);

/// Runs the reconcilers.
///
/// # Errors
/// The database cannot be used, signals cannot be received.
pub(crate) async fn serve(context: &Context, args: &ServeArgs) -> Result<u8, UserError> {
    let cancel = Cancel::new();
    let signals = Interrupts::receive(Meaning::Undo, &cancel)?;
    let log = Arc::new(Log::new(context));
    let extensions = context.extensions(Warm::No)?;
    if args.once {
        return once(&context.open(extensions).await?, &log).await;
    }
    // It lives as long as the process.
    let engine: &'static Engine = Box::leak(Box::new(context.open_shared(extensions).await?));
    signals.watch();
    let manager = Manager::from_environment();
    let nudged = Arc::new(Notify::new());
    let api = api::bind(context, args, engine, &log, &cancel, &nudged).await?;
    let server = Arc::new(Server {
        engine,
        cancel,
        log,
        nudged,
        told: Mutex::default(),
        clock: Arc::clone(&context.clock),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for one in reconcilers() {
        tasks.spawn(keep(Arc::clone(&server), one));
    }
    tasks.spawn(listen(Arc::clone(&server)));
    let addresses = api.addresses().join(" ");
    tasks.spawn(api.run());
    if let Some(every) = manager.watchdog() {
        tasks.spawn(stay_alive(Arc::clone(&server), manager.clone(), every));
    }
    server.log.line(
        "info",
        "serving",
        &[
            ("data_dir", &context.data_dir.display().to_string()),
            ("api", &addresses),
        ],
    );
    manager.tell("READY=1");
    server.cancel.cancelled().await;
    manager.tell("STOPPING=1");
    server.log.line("info", "stopping", &[]);
    let drained = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        () = drained => server.log.line("info", "stopped", &[]),
        () = context.clock.sleep(DRAIN) => {
            server.log.line("warn", "left", &[("why", "work at hand took too long; the next process goes on with it")]);
        }
    }
    Ok(0)
}

/// What the tasks share.
struct Server {
    engine: &'static Engine,
    cancel: Cancel,
    log: Arc<Log>,
    nudged: Arc<Notify>,
    /// Damage that was told of.
    told: Mutex<BTreeSet<String>>,
    clock: Arc<dyn sandboxer_extension::port::Clock>,
}

/// Tells of each damaged row once.
fn tell_of_damage(engine: &Engine, log: &Log, told: &Mutex<BTreeSet<String>>) {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    for damage in engine.noticed_damage() {
        if !told.contains(&damage) {
            log.line("error", "damaged row", &[("why", &damage)]);
            told.insert(damage);
        }
    }
}

/// Runs one reconciler whenever it is due, until told to stop: never in the middle of a run.
async fn keep(server: Arc<Server>, one: &'static Reconciler) {
    let tick = match one.effort {
        Effort::Query => TICK,
        Effort::Sweep => SWEEP_TICK,
    };
    while !server.cancel.is_set() {
        let has_more = match server.engine.reconcile(one, &Silent).await {
            Ok(Some(report)) => {
                server.log.report(one.name, &report);
                tell_of_damage(server.engine, &server.log, &server.told);
                report.did.more
            }
            Ok(None) => false,
            Err(error) => {
                server.log.line(
                    "error",
                    "broke off",
                    &[("reconciler", one.name), ("why", &error.message)],
                );
                false
            }
        };
        let pause = if has_more { Duration::ZERO } else { tick };
        tokio::select! {
            () = server.clock.sleep(pause) => {}
            () = server.nudged.notified(), if one.effort == Effort::Query => {}
            () = server.cancel.cancelled() => {}
        }
    }
}

/// Wakes those that cost a query when another process wrote something.
async fn listen(server: Arc<Server>) {
    let mut before = None;
    while !server.cancel.is_set() {
        // A look that fails is made again; the timers go on anyway.
        if let Ok(version) = server.engine.data_version().await
            && before.replace(version).is_some_and(|before| before != version)
        {
            server.nudged.notify_waiters();
        }
        tokio::select! {
            () = server.clock.sleep(NUDGE_TICK) => {}
            () = server.cancel.cancelled() => {}
        }
    }
}

/// Tells the service manager that this process is not stuck: it can only do so while others get their turns, too.
async fn stay_alive(server: Arc<Server>, manager: Manager, every: Duration) {
    while !server.cancel.is_set() {
        manager.tell("WATCHDOG=1");
        tokio::select! {
            () = server.clock.sleep(every) => {}
            () = server.cancel.cancelled() => {}
        }
    }
}

/// Every reconciler that is due, one after the other.
async fn once(engine: &Engine, log: &Log) -> Result<u8, UserError> {
    let mut broken = Vec::new();
    let mut failed = None;
    for one in reconcilers() {
        let report = match engine.reconcile(one, &Silent).await {
            Ok(Some(report)) => report,
            Ok(None) => continue,
            // The others have their turn all the same.
            Err(error) => {
                failed.get_or_insert(error);
                continue;
            }
        };
        log.report(one.name, &report);
        if let Some(error) = report.error {
            broken.push(format!("{}: {error}", one.name));
        }
    }
    tell_of_damage(engine, log, &Mutex::default());
    if let Some(error) = failed {
        return Err(error);
    }
    match broken.first() {
        None => Ok(0),
        Some(first) => Err(UserError::new(
            ErrorCode::BackendFailed,
            format!("{} of {} broke off: {first}", broken.len(), reconcilers().len()),
        )
        .hint("see `sandboxer status`")),
    }
}
