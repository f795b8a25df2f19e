//! Workspaces on machines that run already.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::SignedDuration;
use sandboxer_extension::port::Clock;
use sandboxer_extension::{Call, ErrorKind, ExtensionError, Handle, ProvisionRequest, Ready};
use sandboxer_host::outcome::cut_short;
use sandboxer_host::reply::Reply;
use sandboxer_host::{Machine, Program, shell, tree};
use sandboxer_model::host::{HostAddress, ProvisionDelta};
use sandboxer_model::isolation::{IsolationReport, Mechanism, MechanismState};
use sandboxer_model::profile::IsolationLevel;
use sandboxer_model::reachability::Reachability;

use crate::config::WORKSPACE_BASE;

const OUTPUT_CAP: usize = 1 << 20;
const MARGIN: Duration = Duration::from_secs(1);

fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        shell::join(&[
            shell::BASE,
            shell::GUARD,
            shell::TREE,
            shell::VERBS,
            shell::SNAPSHOT,
            include_str!("workspace.sh"),
        ])
    })
}

/// One call of the program on the machine.
pub(crate) fn program(verb: &str, id: &str, call: &Call, more: Vec<String>) -> Program {
    let operation = call.operation_id.as_ref().map_or("none", |id| id.as_str());
    let mut words: Vec<String> = [verb, WORKSPACE_BASE, id].map(str::to_owned).to_vec();
    words.extend([
        call.installation_id.to_string(),
        call.epoch.0.to_string(),
        operation.to_owned(),
    ]);
    words.extend(more);
    Program {
        text: Cow::Borrowed(text()),
        words,
        timeout: call.timeout.saturating_sub(MARGIN).max(MARGIN),
        output_cap: OUTPUT_CAP,
    }
}

/// Where the workspace is on the machine.
pub(crate) fn directory(id: &str) -> String {
    format!("{WORKSPACE_BASE}/{id}")
}

/// Makes the workspace, or finds the one it made before: one connection.
pub(crate) async fn provision(
    machine: &Machine,
    clock: &dyn Clock,
    call: &Call,
    request: &ProvisionRequest,
) -> Result<(Handle, Ready), ExtensionError> {
    let id = request.sandbox_id.as_str();
    let ttl = request.ttl.as_secs().to_string();
    let mut talk = machine.talk(program("attach", id, call, vec![ttl.clone()])).await?;
    let tree = match request.inputs.get("repo").map(PathBuf::from) {
        None => None,
        Some(repo) => {
            let scanned = tokio::task::spawn_blocking(move || tree::Tree::scan(&repo, tree::Limits::default())).await;
            let scanned = scanned.map_err(|error| {
                ExtensionError::new(
                    ErrorKind::Failed,
                    format!("looking at the repository ended early: {error}"),
                )
            })?;
            Some(scanned?)
        }
    };
    let about = tree.as_ref().map_or_else(
        || "- 0\n".to_owned(),
        |tree| format!("{} {}\n", tree.digest(), tree.byte_len()),
    );
    talk.send(about.as_bytes()).await?;
    let mut reply = Reply::default();
    let mut may_answer = false;
    while let Some(line) = talk.line().await? {
        if reply.take(&line) {
            may_answer = true;
            break;
        }
    }
    if may_answer {
        if let Some(tree) = tree.filter(|_| reply.has_tree == Some(false)) {
            talk.send(b"tree 0\n").await?;
            talk.send_tree(tree).await?;
        }
        talk.send(b"go\n").await?;
        while let Some(line) = talk.line().await? {
            reply.take(&line);
        }
    }
    let ended = talk.finish().await;
    if let Some(failure) = reply.failure() {
        return Err(failure);
    }
    ended?;
    if !reply.complete {
        return Err(cut_short("making the workspace", machine));
    }
    let handle = Handle::from([
        ("mode".to_owned(), "attach".to_owned()),
        ("remote_dir".to_owned(), directory(id)),
        ("ttl_s".to_owned(), ttl),
    ]);
    Ok((handle, ready(machine, clock, id, &reply)))
}

/// What the machine's answer means.
pub(crate) fn ready(machine: &Machine, clock: &dyn Clock, id: &str, reply: &Reply) -> Ready {
    let address = machine.address();
    let (before, after) = reply.before_and_after();
    let (ssh, tunnel) = match address {
        HostAddress::Local => (None, None),
        HostAddress::Ssh { user, name, port } => {
            let login = user.clone().or_else(|| reply.user.clone());
            let login = login.map_or_else(|| name.clone(), |user| format!("{user}@{name}"));
            match port {
                Some(port) => (Some(format!("ssh://{login}:{port}")), Some(format!("{name}:{port}"))),
                None => (Some(login), Some(name.clone())),
            }
        }
    };
    let left = reply.guard.and_then(|left| i64::try_from(left).ok());
    Ready {
        reachability: Reachability {
            ssh,
            tunnel,
            remote_dir: Some(directory(id)),
            host: Some(address.name().to_owned()),
            workspace: Some(directory(id)),
            identity: machine.identity().map(|identity| identity.key_id),
            ..Reachability::default()
        },
        isolation: IsolationReport {
            level: IsolationLevel::Microvm,
            mechanisms: vec![Mechanism {
                name: "virtual_machine".to_owned(),
                state: MechanismState::Degraded,
                detail: "the machine is a wall to this one; workspaces on the same machine share its user and network"
                    .to_owned(),
            }],
            limits: Vec::new(),
            attestations: Vec::new(),
        },
        guard_deadline: left.and_then(|left| clock.now().checked_add(SignedDuration::from_secs(left)).ok()),
        delta: Some(ProvisionDelta::between(before, after)),
    }
}
