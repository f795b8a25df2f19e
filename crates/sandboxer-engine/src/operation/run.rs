//! Create, run one command, destroy: in one process.
//!
//! The creation's operation stays open until the sandbox is gone, so whatever kills this process leaves a journal that
//! the next command undoes. That is why the backend may begin the removal when the command ends, no separate intent is stored before the teardown, and why the commit that says
//! `ready` and `active` can be written while the command already runs: three commits in all, one of them unseen.

use sandboxer_extension::{ExecExit, ExecRequest, ExecSession, ExtensionError, cut};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::lifecycle::Reason;

use super::create::{self, Undriven};
use super::job::Job;
use super::step::{Stop, stopped};
use super::teardown;
use crate::api::{CreateRequest, ExecCommand, Progress, RunOutcome};
use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::{failure, interrupted, user_error};

impl Engine {
    pub(crate) async fn do_run(
        &self,
        mut req: CreateRequest,
        cmd: ExecCommand,
        progress: &dyn Progress,
        on_started: &mut (dyn FnMut(&mut dyn ExecSession) + Send),
        cancel: &Cancel,
    ) -> Result<RunOutcome, UserError> {
        req.if_abandoned = crate::api::IfAbandoned::Undo;
        let mut prepared = self.prepare(&req).await?;
        // One command, one sandbox: it is never handed to anybody else.
        prepared.scope_key = None;
        prepared.require_exec(self)?;
        let mut job = loop {
            let mut job = self.new_creation(&prepared, &req, true, progress);
            match create::drive_interruptibly(&mut job, cancel).await {
                Ok(()) => break job,
                Err(Undriven::Ended(error)) => return Err(error),
                // One candidate fewer each time.
                Err(Undriven::NoRoom { host, why }) => prepared.rule_out_first(&host, &why)?,
                Err(Undriven::Scope | Undriven::Key) => {
                    return Err(UserError::new(ErrorCode::Internal, "a run has neither scope nor key"));
                }
            }
        };
        let outcome = self.run_inside(&mut job, cmd, on_started, cancel).await;
        if let Err(Inside::Stop(Stop::Store(error))) = outcome {
            // The store fails, so the journal cannot be ended; what was made can still be removed.
            let _ = teardown::tear_down(&mut job).await;
            return Err(error.into());
        }
        if !matches!(outcome, Err(Inside::Stop(Stop::Fenced))) {
            job.record.sandbox.reason = match &outcome {
                Err(Inside::Interrupted) => Some(Reason::Interrupted),
                // The teardown tells why; if it cannot, something outside ended it.
                Ok(ExecExit::SandboxGone) => {
                    job.params.reason = Some(Reason::ProviderLost);
                    None
                }
                _ => Some(Reason::RunFinished),
            };
            if let Err(Inside::Exec(error)) = &outcome {
                job.record.sandbox.error = Some(failure("exec", error));
            }
        }
        self.end_run(job, outcome, progress).await
    }

    async fn run_inside(
        &self,
        job: &mut Job<'_>,
        cmd: ExecCommand,
        on_started: &mut (dyn FnMut(&mut dyn ExecSession) + Send),
        cancel: &Cancel,
    ) -> Result<ExecExit, Inside> {
        let extension = job.extension().map_err(Inside::Exec)?;
        let call = job.call(self.settings.timeouts.other);
        let sandbox = job.record.sandbox.sandbox_id.clone();
        job.progress.step_started(&sandbox, "exec");
        let started = self.ports.clock.monotonic();
        let took = || self.ports.clock.monotonic().saturating_sub(started);
        cut!("create.exec.before_effect");
        let mut session = match extension.exec(&call, &job.target(), request(cmd, true)).await {
            Ok(session) => session,
            Err(error) => {
                job.progress
                    .step_finished(&sandbox, "exec", took(), Some(&error.message));
                return Err(Inside::Exec(error));
            }
        };
        cut!("create.exec.after_effect");
        on_started(session.as_mut());
        let (committed, exit) = tokio::join!(job.commit(), async {
            tokio::select! {
                biased;
                exit = session.wait() => Ok(exit),
                () = cancel.cancelled() => Err(Inside::Interrupted),
            }
        });
        job.progress.step_finished(&sandbox, "exec", took(), None);
        committed.map_err(Inside::Stop)?;
        exit?.map_err(Inside::Exec)
    }

    async fn end_run(
        &self,
        mut job: Job<'_>,
        outcome: Result<ExecExit, Inside>,
        progress: &dyn Progress,
    ) -> Result<RunOutcome, UserError> {
        let fenced = matches!(outcome, Err(Inside::Stop(Stop::Fenced)));
        let removed = match fenced {
            true => Err(stopped(&Stop::Fenced, &job)),
            false => teardown::remove(&mut job).await,
        };
        let ended = job.ended;
        let sandbox = match removed {
            Ok(()) => job.record.sandbox,
            // Somebody destroyed it under the command: their removal is ours.
            Err(error) if error.code == ErrorCode::Fenced => {
                let id = job.record.sandbox.sandbox_id.clone();
                self.do_destroy(id.as_str().into(), progress).await?;
                self.ports.store.sandbox(&id).await?.sandbox
            }
            Err(error) => return Err(error),
        };
        let cleanup = sandbox.cleanup.clone().unwrap_or_default();
        match outcome {
            Ok(exit) => Ok(RunOutcome {
                sandbox,
                exit,
                cleanup,
                ended,
            }),
            Err(Inside::Stop(_)) => Ok(RunOutcome {
                sandbox,
                exit: ExecExit::SandboxGone,
                cleanup,
                ended,
            }),
            Err(Inside::Exec(error)) => Err(user_error(&error)),
            Err(Inside::Interrupted) => Err(interrupted()),
        }
    }
}

/// Why the command has no exit.
enum Inside {
    Exec(ExtensionError),
    Interrupted,
    Stop(Stop),
}

pub(crate) fn request(cmd: ExecCommand, last: bool) -> ExecRequest {
    ExecRequest {
        argv: cmd.argv,
        env: cmd.env,
        cwd: cmd.cwd,
        service: cmd.service,
        stdio: cmd.stdio,
        last,
    }
}
