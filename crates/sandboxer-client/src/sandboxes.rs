//! Making, finding, keeping and ending sandboxes.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use sandboxer_api::answer::{Created, Destroyed, ExpireAction, Explanation, Plan};
use sandboxer_api::page::{MOST, Page};
use sandboxer_api::request::{ChangeSandbox, CreateSandbox, ExecRequest, ExecResult, ExtendTtl, Operation};
use sandboxer_api::sinks::ListedEvent;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::{OperationId, SandboxId};
use sandboxer_model::lifecycle::State;
use sandboxer_model::reachability::Reachability;
use sandboxer_model::sandbox::Sandbox;
use serde::Deserialize;

use crate::address::part;
use crate::call::Call;
use crate::transport::Client;

/// How long the server waits for a state before it answers what is so far. Longer waits are made of several.
const TURN: Duration = Duration::from_secs(60);
/// How much longer than that the answer may take.
const MARGIN: Duration = Duration::from_secs(30);
/// What tears down, or makes anew, may take this long: a stack on a host takes minutes.
const SLOW: Duration = Duration::from_secs(30 * 60);
/// Characters of an id that a beginning needs at least.
const PREFIX_LEN: usize = 3;

/// The revision of a sandbox that was read: a change under another one is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision(String);

/// Which sandboxes to list.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Only these states; empty: every state that is not `destroyed`.
    pub states: Vec<State>,
    /// Destroyed ones too.
    pub all: bool,
    /// Only this profile.
    pub profile: Option<String>,
    /// Only this project.
    pub project: Option<String>,
    /// Only this run.
    pub run_id: Option<String>,
    /// Only with all of these labels.
    pub labels: BTreeMap<String, String>,
    /// Only ids that begin so.
    pub id_prefix: Option<String>,
}

/// A sandbox that was accepted: the server says whether it was there before by its status, and in the body where it has it.
#[derive(Deserialize)]
struct Accepted {
    #[serde(flatten)]
    sandbox: Sandbox,
    reused: Option<bool>,
    #[serde(default)]
    replayed: bool,
}

fn at(id: &SandboxId) -> String {
    format!("v1/sandboxes/{}", part(id.as_str()))
}

impl Client {
    /// The id that this is, or the only one that begins so, with or without `sbx-`.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, and those of the connection.
    pub async fn resolve(&self, id_or_prefix: &str) -> Result<SandboxId, UserError> {
        if let Ok(id) = id_or_prefix.parse() {
            return Ok(id);
        }
        let missing = || {
            UserError::new(ErrorCode::NotFound, format!("there is no sandbox `{id_or_prefix}`"))
                .hint("see what exists with `sandboxer list --all`")
        };
        let lower = id_or_prefix.trim().to_ascii_lowercase();
        let body = lower.strip_prefix("sbx-").unwrap_or(&lower);
        if !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(missing());
        }
        if body.len() < PREFIX_LEN {
            let what = format!("`{id_or_prefix}` is too short for a sandbox id");
            return Err(UserError::new(ErrorCode::NotFound, what)
                .hint("give at least three characters after `sbx-`; `sandboxer list` shows the ids"));
        }
        let listing = Listing {
            all: true,
            id_prefix: Some(format!("sbx-{body}")),
            ..Listing::default()
        };
        let mut found: Vec<SandboxId> = self
            .page(&listing, 5, None)
            .await?
            .items
            .into_iter()
            .map(|one| one.sandbox_id)
            .collect();
        // As the engine names them.
        found.sort();
        match found.as_slice() {
            [] => Err(missing()),
            [one] => Ok(one.clone()),
            several => {
                let ids: Vec<&str> = several.iter().map(SandboxId::as_str).collect();
                let what = format!("`{id_or_prefix}` fits several sandboxes: {}", ids.join(", "));
                Err(UserError::new(ErrorCode::Ambiguous, what).hint("give more characters of the id"))
            }
        }
    }

    /// Accepts a sandbox, and returns at once. The same key with the same request comes to the same sandbox.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn accept(&self, request: &CreateSandbox, key: &str) -> Result<Created, UserError> {
        let call = Call::post("v1/sandboxes")
            .header("idempotency-key", key)
            .json(request)?;
        let (accepted, status, _) = self.ask_with_headers::<Accepted>(call).await?;
        Ok(created(accepted, status))
    }

    /// Makes a sandbox and waits until it is ready, however long that takes.
    ///
    /// # Errors
    /// Those of the server; why its making failed.
    pub async fn create(&self, request: &CreateSandbox, key: &str) -> Result<Created, UserError> {
        let call = Call::post("v1/sandboxes")
            .query("wait", "ready")
            .query("timeout", format!("{}s", TURN.as_secs()))
            .header("idempotency-key", key)
            .timeout(TURN + MARGIN)
            .json(request)?;
        let (accepted, status, _) = self.ask_with_headers::<Accepted>(call).await?;
        let created = created(accepted, status);
        if created.sandbox.state.is_usable() {
            return Ok(created);
        }
        let id = &created.sandbox.sandbox_id;
        loop {
            match self.wait_once(id, State::Ready, TURN).await {
                Ok(sandbox) => return Ok(Created { sandbox, ..created }),
                Err(error) if matches!(error.code, ErrorCode::Timeout | ErrorCode::RateLimited) => {}
                Err(error) if error.code == ErrorCode::WrongState => return self.made_or_failed(created, error).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// It will not be ready any more, or was and is in use.
    async fn made_or_failed(&self, created: Created, error: UserError) -> Result<Created, UserError> {
        let sandbox = self.sandbox(&created.sandbox.sandbox_id).await?;
        if sandbox.state.is_usable() {
            return Ok(Created { sandbox, ..created });
        }
        Err(match sandbox.error {
            Some(failure) => {
                let told = UserError::new(failure.code, failure.message);
                failure.hint.into_iter().fold(told, UserError::hint)
            }
            None => error,
        })
    }

    /// What a create would do.
    ///
    /// # Errors
    /// Whatever a create is refused with.
    pub async fn plan(&self, request: &CreateSandbox) -> Result<Plan, UserError> {
        self.ask(Call::post("v1/plans").json(request)?).await
    }

    /// One page of a list, newest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn page(&self, listing: &Listing, limit: u32, cursor: Option<&str>) -> Result<Page<Sandbox>, UserError> {
        let mut call = Call::get("v1/sandboxes")
            .query("limit", limit.to_string())
            .query_if("cursor", cursor)
            .query_if("profile", listing.profile.as_deref())
            .query_if("project", listing.project.as_deref())
            .query_if("run_id", listing.run_id.as_deref())
            .query_if("id_prefix", listing.id_prefix.as_deref())
            .query_if("all", listing.all.then_some("true"));
        for state in &listing.states {
            call = call.query("state", state.name());
        }
        for (key, value) in &listing.labels {
            call = call.query("label", format!("{key}={value}"));
        }
        self.ask(call).await
    }

    /// All of a list, newest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list(&self, listing: &Listing) -> Result<Vec<Sandbox>, UserError> {
        let mut page = self.page(listing, MOST, None).await?;
        let mut all = std::mem::take(&mut page.items);
        while let Some(cursor) = page.next_cursor.take() {
            page = self.page(listing, MOST, Some(&cursor)).await?;
            all.append(&mut page.items);
        }
        Ok(all)
    }

    /// One sandbox.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn sandbox(&self, id: &SandboxId) -> Result<Sandbox, UserError> {
        self.ask(Call::get(at(id))).await
    }

    /// One sandbox and its revision.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn sandbox_and_revision(&self, id: &SandboxId) -> Result<(Sandbox, Option<Revision>), UserError> {
        let (sandbox, _, headers) = self.ask_with_headers(Call::get(at(id))).await?;
        let revision = headers.get("etag").and_then(|tag| tag.to_str().ok());
        Ok((sandbox, revision.map(|tag| Revision(tag.to_owned()))))
    }

    /// Waits until a sandbox is in a state.
    ///
    /// # Errors
    /// `Timeout`; `WrongState` at once when it can no longer be reached.
    pub async fn wait(&self, id: &SandboxId, state: State, timeout: Duration) -> Result<Sandbox, UserError> {
        let clock = &self.shared.clock;
        let deadline = clock.monotonic().saturating_add(timeout);
        loop {
            let left = deadline.saturating_sub(clock.monotonic());
            match self.wait_once(id, state, left.min(TURN)).await {
                Err(error) if error.code == ErrorCode::Timeout && left > TURN => {}
                // Others wait with the same key; one of them will be done.
                Err(error) if error.code == ErrorCode::RateLimited && clock.monotonic() < deadline => {}
                answer => return answer,
            }
        }
    }

    async fn wait_once(&self, id: &SandboxId, state: State, timeout: Duration) -> Result<Sandbox, UserError> {
        // Whole seconds are what a span is made of.
        let seconds = timeout.as_millis().div_ceil(1000).max(1);
        let call = Call::get(format!("{}/wait", at(id)))
            .query("state", state.name())
            .query("timeout", format!("{seconds}s"))
            .timeout(timeout + MARGIN);
        self.ask(call).await
    }

    /// Sets and removes labels. With a revision: only if nobody else changed the sandbox since.
    ///
    /// # Errors
    /// Those of the server; `PreconditionFailed`.
    pub async fn label(
        &self,
        id: &SandboxId,
        change: &ChangeSandbox,
        revision: Option<&Revision>,
    ) -> Result<Sandbox, UserError> {
        let call = if_match(Call::other(Method::PATCH, at(id)), revision);
        // The labels are as asked for however often they are set.
        self.ask(call.repeatable().json(change)?).await
    }

    /// Moves a deadline.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn extend(&self, id: &SandboxId, by: &ExtendTtl) -> Result<Sandbox, UserError> {
        let mut call = Call::other(Method::PATCH, format!("{}/ttl", at(id)));
        if by.expires_at.is_some() {
            call = call.repeatable();
        }
        self.ask(call.json(by)?).await
    }

    /// Removes a sandbox. Look at the state of the answer: `destroying` when absence could not be proven.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn destroy(&self, id: &SandboxId) -> Result<Destroyed, UserError> {
        // It is gone however often it is asked for.
        let call = Call::other(Method::DELETE, at(id)).repeatable();
        self.ask(call.timeout(SLOW)).await
    }

    /// Removes a sandbox and makes it again from its frozen profile and inputs.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn recreate(&self, id: &SandboxId) -> Result<Sandbox, UserError> {
        self.ask(Call::post(format!("{}/recreate", at(id))).timeout(SLOW)).await
    }

    /// Marks a sandbox as in use.
    ///
    /// # Errors
    /// `WrongState`.
    pub async fn activate(&self, id: &SandboxId) -> Result<Sandbox, UserError> {
        self.ask(Call::post(format!("{}/activate", at(id)))).await
    }

    /// How a sandbox is reached.
    ///
    /// # Errors
    /// `WrongState`.
    pub async fn reachability(&self, id: &SandboxId) -> Result<Reachability, UserError> {
        self.ask(Call::get(format!("{}/reachability", at(id)))).await
    }

    /// The seven answers.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn explain(&self, id: &SandboxId) -> Result<Explanation, UserError> {
        self.ask(Call::get(format!("{}/explain", at(id)))).await
    }

    /// What happened to a sandbox, in order.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn events_of(&self, id: &SandboxId) -> Result<Vec<ListedEvent>, UserError> {
        self.ask(Call::get(format!("{}/events", at(id)))).await
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn exec_to_end(&self, id: &SandboxId, request: &ExecRequest) -> Result<ExecResult, UserError> {
        let limit = request
            .timeout
            .map_or(Duration::from_secs(60), |timeout| timeout.as_std());
        let call = Call::post(format!("{}/exec", at(id))).timeout(limit + MARGIN);
        self.ask(call.json(request)?).await
    }

    /// Shows or removes the sandboxes whose time has passed.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn expire(&self, apply: bool) -> Result<Vec<ExpireAction>, UserError> {
        let call = Call::post("v1/sandboxes/expire").query_if("apply", apply.then_some("true"));
        self.ask(call.timeout(SLOW)).await
    }

    /// One durable operation.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn operation(&self, id: &OperationId) -> Result<Operation, UserError> {
        self.ask(Call::get(format!("v1/operations/{}", part(id.as_str()))))
            .await
    }
}

fn if_match(call: Call, revision: Option<&Revision>) -> Call {
    match revision {
        Some(Revision(tag)) => call.header("if-match", tag),
        None => call,
    }
}

fn created(accepted: Accepted, status: u16) -> Created {
    Created {
        reused: accepted.reused.unwrap_or(status == 200),
        replayed: accepted.replayed,
        sandbox: accepted.sandbox,
    }
}
