//! What a trial works with: calls under the trial's own ids, commands with their input and output, and a clean-up that
//! proves that nothing is left.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sandboxer_extension::{
    Call, ErrorKind, ExecExit, ExecRequest, ExecSession, ExecStdio, Extension, ExtensionError, Handle, Inventory,
    InventoryItem, Observation, ProvisionRequest, Ready, Target,
};
use sandboxer_model::cleanup::{CleanupReport, Presence};
use sandboxer_model::id::SandboxId;
use sandboxer_model::operation::Epoch;
use sandboxer_model::profile::Profile;
use tokio::sync::oneshot;

use crate::ensure;
use crate::probe::ProbeCommand;
use crate::subject::Subject;
use crate::trial::{Outcome, Stop};

/// Newer than any epoch a trial uses.
const CLEAN_UP_EPOCH: u64 = 1_000_000;
/// How often that is tried.
const CLEAN_UP_TRIES: u64 = 3;
/// How often an inventory that is not whole is asked for.
const INVENTORY_TRIES: u32 = 5;
/// How long until a condition is looked at again.
const POLL: Duration = Duration::from_millis(50);

/// What one trial works with.
pub struct Bench<'a> {
    /// What is tried.
    pub subject: &'a Subject,
    made: Mutex<Vec<SandboxId>>,
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub exit: ExecExit,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Ran {
    /// Its standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// A command that runs, with the caller's ends of its streams.
pub struct Started {
    /// The session.
    pub session: Box<dyn ExecSession>,
    /// Its input; dropped: closed.
    pub stdin: std::io::PipeWriter,
    stdout: oneshot::Receiver<Vec<u8>>,
    stderr: oneshot::Receiver<Vec<u8>>,
}

impl<'a> Bench<'a> {
    /// For one trial.
    pub fn new(subject: &'a Subject) -> Bench<'a> {
        Bench {
            subject,
            made: Mutex::new(Vec::new()),
        }
    }

    /// The extension that is tried.
    pub fn extension(&self) -> &dyn Extension {
        &*self.subject.extension
    }

    /// What a call carries at this epoch.
    pub fn call(&self, epoch: u64) -> Call {
        Call {
            installation_id: self.subject.installation_id.clone(),
            operation_id: None,
            epoch: Epoch(epoch),
            timeout: self.subject.timeout,
        }
    }

    /// A fresh sandbox id, torn down after the trial.
    pub fn fresh_id(&self) -> SandboxId {
        let id = SandboxId::from_uuid(self.subject.ids.uuid());
        self.made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(id.clone());
        id
    }

    /// A request for a fresh sandbox of the subject's profile.
    pub fn request(&self) -> ProvisionRequest {
        self.request_of(self.subject.profile.clone())
    }

    /// A request for a fresh sandbox of this profile.
    pub fn request_of(&self, profile: Profile) -> ProvisionRequest {
        ProvisionRequest {
            sandbox_id: self.fresh_id(),
            ttl: profile.ttl.default,
            profile,
            inputs: self.subject.inputs.clone(),
            host: self.subject.host.clone(),
        }
    }

    /// The sandbox of a request, as known after a crash: without its handle.
    pub fn bare_target(&self, request: &ProvisionRequest) -> Target {
        Target {
            sandbox_id: request.sandbox_id.clone(),
            host: request.host.clone(),
            handle: None,
        }
    }

    /// The sandbox of a request with its handle.
    pub fn target(&self, request: &ProvisionRequest, handle: Handle) -> Target {
        Target {
            handle: Some(handle),
            ..self.bare_target(request)
        }
    }

    /// Makes a sandbox at epoch 1 and waits until it is ready.
    ///
    /// # Errors
    /// Either call failed.
    pub async fn up(&self, request: &ProvisionRequest) -> Result<(Target, Ready), Stop> {
        let handle = self.provision(1, request).await.map_err(failed("provision"))?;
        let target = self.target(request, handle);
        let ready = self.wait_ready(1, &target).await.map_err(failed("wait_ready"))?;
        Ok((target, ready))
    }

    /// The call, with its deadline checked.
    ///
    /// # Errors
    /// Those of the extension.
    pub async fn provision(&self, epoch: u64, request: &ProvisionRequest) -> Result<Handle, ExtensionError> {
        self.extension().provision(&self.call(epoch), request).await
    }

    /// The call.
    ///
    /// # Errors
    /// Those of the extension.
    pub async fn wait_ready(&self, epoch: u64, target: &Target) -> Result<Ready, ExtensionError> {
        self.extension().wait_ready(&self.call(epoch), target).await
    }

    /// The call.
    ///
    /// # Errors
    /// Those of the extension.
    pub async fn teardown(&self, epoch: u64, target: &Target) -> Result<CleanupReport, ExtensionError> {
        let removal = self.extension().teardown(&self.call(epoch), target).await?;
        Ok(removal.report)
    }

    /// Tears down and checks that absence is proven, by the receipt and by looking again.
    ///
    /// # Errors
    /// It is not.
    pub async fn down(&self, epoch: u64, target: &Target) -> Outcome {
        let report = self.teardown(epoch, target).await.map_err(failed("teardown"))?;
        ensure!(
            report.verified == Presence::Absent,
            "teardown did not prove absence: {:?}, left: {:?}",
            report.verified,
            report.leftovers()
        );
        self.expect_absent(target).await
    }

    /// The call.
    pub async fn observe(&self, target: &Target) -> Observation {
        self.extension().observe(&self.call(1), target).await
    }

    /// Checks that nothing of a sandbox exists.
    ///
    /// # Errors
    /// Something does, or it cannot be told.
    pub async fn expect_absent(&self, target: &Target) -> Outcome {
        let seen = self.observe(target).await;
        ensure!(
            seen.presence == Presence::Absent,
            "it should be absent, but observe says {seen:?}"
        );
        let items = self.items_of(&target.sandbox_id).await;
        ensure!(items.is_empty(), "it should be absent, but the inventory has {items:?}");
        Ok(())
    }

    /// Checks that a sandbox exists and can be used.
    ///
    /// # Errors
    /// It does not or cannot.
    pub async fn expect_usable(&self, target: &Target) -> Outcome {
        let seen = self.observe(target).await;
        ensure!(
            seen.presence == Presence::Present && seen.usable == Some(true),
            "it should be usable, but observe says {seen:?}"
        );
        Ok(())
    }

    /// Everything the backend has that was labelled by this run of the suite.
    pub async fn ours(&self) -> Vec<InventoryItem> {
        let inventory = self.inventory().await;
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_ours = |item: &&InventoryItem| {
            item.installation_id.as_ref() == Some(&self.subject.installation_id)
                || item.sandbox_id.as_ref().is_some_and(|id| made.contains(id))
        };
        inventory.items().iter().filter(is_ours).cloned().collect()
    }

    /// The call: of the subject's host, where it has one. A list that is not whole may be so for a moment, so a few are asked
    /// for.
    pub async fn inventory(&self) -> Inventory {
        let mut tries = 0;
        loop {
            tries += 1;
            let seen = match &self.subject.host {
                Some(host) => self.extension().inventory_at(&self.call(1), host).await,
                None => self.extension().inventory(&self.call(1)).await,
            };
            if matches!(seen, Inventory::Complete(_)) || tries == INVENTORY_TRIES {
                return seen;
            }
            self.subject.clock.sleep(POLL).await;
        }
    }

    /// What the inventory has of one sandbox.
    pub async fn items_of(&self, id: &SandboxId) -> Vec<InventoryItem> {
        let inventory = self.inventory().await;
        inventory
            .items()
            .iter()
            .filter(|item| item.sandbox_id.as_ref() == Some(id))
            .cloned()
            .collect()
    }

    /// Waits until the condition holds, at most this long by the subject's clock.
    pub async fn until(&self, most: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
        let clock = &self.subject.clock;
        let deadline = clock.monotonic().saturating_add(most);
        loop {
            if holds().await {
                return true;
            }
            if clock.monotonic() > deadline {
                return false;
            }
            clock.sleep(POLL).await;
        }
    }

    /// Starts a command with pipes.
    ///
    /// # Errors
    /// Those of the extension, or no pipe could be made.
    pub async fn start(
        &self,
        target: &Target,
        argv: Vec<Vec<u8>>,
        env: Vec<(String, String)>,
        cwd: Option<String>,
    ) -> Result<Result<Started, ExtensionError>, Stop> {
        let pipe = || std::io::pipe().map_err(|error| Stop::Failed(format!("no pipe: {error}")));
        let (their_stdin, stdin) = pipe()?;
        let (our_stdout, stdout) = pipe()?;
        let (our_stderr, stderr) = pipe()?;
        let stdio = ExecStdio::Pipes {
            stdin: their_stdin.into(),
            stdout: stdout.into(),
            stderr: stderr.into(),
        };
        let request = ExecRequest {
            argv,
            env,
            cwd,
            stdio,
            service: None,
            last: false,
        };
        let session = match self.extension().exec(&self.call(1), target, request).await {
            Ok(session) => session,
            Err(error) => return Ok(Err(error)),
        };
        Ok(Ok(Started {
            session,
            stdin,
            stdout: collect(our_stdout.into()),
            stderr: collect(our_stderr.into()),
        }))
    }

    /// Runs a command to its end, with this input.
    ///
    /// # Errors
    /// It could not be run.
    pub async fn run(&self, target: &Target, command: &ProbeCommand, input: Vec<u8>) -> Result<Ran, Stop> {
        self.run_with(target, command, input, vec![], None).await
    }

    /// Runs a command to its end, with this input, these variables, in this directory.
    ///
    /// # Errors
    /// It could not be run.
    pub async fn run_with(
        &self,
        target: &Target,
        command: &ProbeCommand,
        input: Vec<u8>,
        env: Vec<(String, String)>,
        cwd: Option<String>,
    ) -> Result<Ran, Stop> {
        let started = self
            .start(target, command.argv(), env, cwd)
            .await?
            .map_err(failed("exec"))?;
        started.finish(input).await
    }

    /// Tears down everything the trial made and checks that nothing is left.
    ///
    /// # Errors
    /// Something is, or it cannot be told.
    pub async fn clean_up(&self) -> Outcome {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for sandbox_id in made {
            let target = Target {
                sandbox_id,
                host: self.subject.host.clone(),
                handle: None,
            };
            // A guard whose time has come may get in between, which passes.
            let mut tried = self.teardown(CLEAN_UP_EPOCH, &target).await;
            for epoch in 1..CLEAN_UP_TRIES {
                if !matches!(&tried, Err(error) if may_pass(error.kind)) {
                    break;
                }
                tried = self.teardown(CLEAN_UP_EPOCH + epoch, &target).await;
            }
            let report = tried.map_err(failed("clean-up"))?;
            ensure!(
                report.verified == Presence::Absent,
                "clean-up left {:?}",
                report.leftovers()
            );
        }
        let left = self.ours().await;
        ensure!(left.is_empty(), "after the clean-up the inventory still has {left:?}");
        Ok(())
    }
}

impl Started {
    /// Feeds the input, closes it, and waits for the end.
    ///
    /// # Errors
    /// Its end cannot be told.
    pub async fn finish(self, input: Vec<u8>) -> Result<Ran, Stop> {
        let Started {
            mut session,
            mut stdin,
            stdout,
            stderr,
        } = self;
        std::thread::spawn(move || {
            // A command that ends without reading its input is none of our business.
            let _ = stdin.write_all(&input);
        });
        let exit = session.wait().await.map_err(failed("wait"))?;
        let read = |stream: &'static str| move |_| Stop::Failed(format!("{stream} could not be read"));
        let stdout = stdout.await.map_err(read("standard output"))?;
        let stderr = stderr.await.map_err(read("standard error"))?;
        Ok(Ran { exit, stdout, stderr })
    }
}

/// Reads a stream to its end, in a thread: the other end may be a process that is slow or hostile.
pub fn collect(fd: OwnedFd) -> oneshot::Receiver<Vec<u8>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A terminal ends with an error when its last process goes; what was read before counts.
        let _ = File::from(fd).take(64 * 1024 * 1024).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// Whether the same call may come off later.
fn may_pass(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout)
}

/// Turns an error of a call into a failure of the trial.
pub fn failed(call: &'static str) -> impl Fn(ExtensionError) -> Stop {
    move |error| Stop::Failed(format!("{call} failed: {:?}: {error}", error.kind))
}
