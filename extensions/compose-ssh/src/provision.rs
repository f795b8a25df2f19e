//! Making a sandbox: one connection, one conversation. The host says what it has, we answer with a fresh Compose file, the
//! wall around it and, where it lacks it, the tree; it ends with the proof that everything runs as the file says.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandboxer_extension::{Call, ErrorKind, ExtensionError, Handle, ProvisionRequest, Ready, Validation};
use sandboxer_host::{Machine, quote, tree};
use sandboxer_model::profile::Trust;

use crate::config::{COMPOSE_FILES, Config};
use crate::extension::{BASE_DIR, Settings, cut_short};
use crate::inventory::lack;
use crate::network::{self, BLOCK_PREFIX, Leaves};
use crate::plan::{Plan, ReadyWords, targets_under_deny};
use crate::policy::{self, Stack};
use crate::program::program;
use crate::reply::Reply;
use crate::report;

/// What is known before any host is asked.
struct Prepared {
    config: Config,
    leaves: Leaves,
    repo: Option<PathBuf>,
    request: ProvisionRequest,
}

fn prepare(request: &ProvisionRequest) -> Result<Prepared, ExtensionError> {
    Ok(Prepared {
        config: Config::of(request)?,
        leaves: network::leaves(&request.profile.network)?,
        repo: request.inputs.get("repo").map(PathBuf::from),
        request: request.clone(),
    })
}

/// What a dry run shows: the document as it would be emitted, but for the addresses, which the host gives out.
pub(crate) async fn validate(settings: &Settings, request: &ProvisionRequest) -> Result<Validation, ExtensionError> {
    let prepared = prepare(request)?;
    let base_dir = settings.base_dir.clone();
    let any_block = network::proposed_blocks(request.sandbox_id.as_str())
        .first()
        .copied()
        .unwrap_or(Ipv4Addr::UNSPECIFIED);
    let (prepared, stack) = blocking(move || {
        let stack = stack(&prepared, &base_dir, any_block, &[], &BTreeMap::new())?;
        Ok((prepared, stack))
    })
    .await?;
    let detail = serde_json::json!({
        "compose": stack.document,
        "notes": stack.notes,
        "network": format!("{:?}", prepared.leaves).to_lowercase(),
    });
    Ok(Validation {
        limits: report::limits(&request.profile),
        detail,
    })
}

/// Makes the sandbox, or finds the one it made before for the same id.
pub(crate) async fn provision(
    settings: &Settings,
    machine: &Machine,
    call: &Call,
    request: &ProvisionRequest,
) -> Result<(Handle, Ready), ExtensionError> {
    let prepared = Arc::new(prepare(request)?);
    let id = request.sandbox_id.as_str();
    let ready = ReadyWords {
        wait_s: prepared.config.timeout_s,
        when: prepared.config.ready.word().to_owned(),
        ttl_s: request.ttl.as_secs(),
        targets: match prepared.leaves {
            Leaves::Nothing => targets_under_deny(),
            Leaves::Listed(_) => vec![network::METADATA.to_owned()],
            Leaves::Anything => vec![network::METADATA.to_owned()],
        },
    };
    let blocks: Vec<String> = network::proposed_blocks(id).iter().map(Ipv4Addr::to_string).collect();
    let mut words = vec![
        blocks.join(","),
        BLOCK_PREFIX.to_string(),
        ready.ttl_s.to_string(),
        prepared.leaves.names().join(","),
    ];
    words.extend([ready.wait_s.to_string(), ready.when.clone(), ready.targets.join(",")]);
    let mut talk = machine
        .talk(program("provision", &settings.base_dir, id, call, words))
        .await?;

    // The tree is looked at while the connection is being made.
    let repo = prepared.repo.clone();
    let tree = match repo {
        Some(repo) => Some(blocking(move || scan(&repo)).await?),
        None => None,
    };
    let about_tree = match &tree {
        Some(tree) => format!("{} {}\n", tree.digest(), tree.byte_len()),
        None => "- 0\n".to_owned(),
    };
    let choice = settings.compose_command.clone().unwrap_or_default();
    talk.send(format!("{choice}\n{about_tree}").as_bytes()).await?;

    let mut reply = Reply::default();
    let mut may_answer = false;
    while let Some(line) = talk.line().await? {
        if reply.take(&line) {
            may_answer = true;
            break;
        }
    }
    if let Some(failure) = reply.failure() {
        let _ = talk.finish().await;
        return Err(failure);
    }
    let (true, Some(block)) = (may_answer, reply.subnet) else {
        return Err(cut_short("making it", machine));
    };
    refuse_lacking(&prepared, &reply, machine)?;

    let base_dir = settings.base_dir.clone();
    let names = reply.names.clone();
    let labels = labels(call, request);
    let (stack, wall) = {
        let prepared = Arc::clone(&prepared);
        blocking(move || {
            let stack = stack(&prepared, &base_dir, block, &names, &labels)?;
            let wall = network::wall(prepared.request.sandbox_id.as_str(), &prepared.leaves, &names);
            Ok((stack, wall))
        })
        .await?
    };
    let document = serde_json::to_vec(&stack.document)
        .map_err(|error| ExtensionError::new(ErrorKind::Failed, format!("cannot write the Compose file: {error}")))?;
    talk.send(format!("compose {}\n", document.len()).as_bytes()).await?;
    talk.send(&document).await?;
    if request.profile.trust != Trust::Full {
        talk.send(format!("wall {}\n{wall}", wall.len()).as_bytes()).await?;
    }
    let builds = builds(&stack, &prepared, call, request)?;
    if !builds.is_empty() {
        talk.send(format!("builds {}\n", builds.len()).as_bytes()).await?;
        talk.send(&builds).await?;
    }
    if let Some(tree) = tree.filter(|_| reply.has_tree == Some(false)) {
        talk.send(b"tree 0\n").await?;
        talk.send_tree(tree).await?;
    }
    talk.send(b"go\n").await?;
    while let Some(line) = talk.line().await? {
        reply.take(&line);
    }
    talk.finish().await?;
    if let Some(failure) = reply.failure() {
        return Err(failure);
    }
    if !reply.complete {
        return Err(cut_short("making it", machine));
    }
    compare(&stack, &reply, request.profile.trust)?;

    let remote_dir = format!("{}/{id}", settings.base_dir);
    let plan = Plan {
        services: report::services(&stack),
        default_service: report::default_service(&stack, &prepared.config),
        mechanisms: report::mechanisms(&request.profile, &prepared.leaves, &reply),
        limits: report::limits(&request.profile),
        ready,
        remote_dir,
        project: id.to_owned(),
    };
    let mut handle = Handle::from([(BASE_DIR.to_owned(), settings.base_dir.clone())]);
    handle.insert("subnet".to_owned(), format!("{block}/{BLOCK_PREFIX}"));
    if let Some((engine, flavour)) = &reply.engine {
        handle.insert("engine".to_owned(), engine.clone());
        handle.insert("compose".to_owned(), flavour.clone());
    }
    plan.store(&mut handle);
    let ready = plan.ready(settings, machine, &reply)?;
    Ok((handle, ready))
}
