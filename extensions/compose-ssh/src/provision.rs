//! Making a sandbox: one connection, one conversation. The host says what it has, we answer with a fresh Compose file, the
//! wall around it and, where it lacks it, the tree; it ends with the proof that everything runs as the file says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandboxer_extension::{Call, ErrorKind, ExtensionError, Handle, ProvisionRequest, Ready, Validation};
use sandboxer_host::{Machine, quote, tree};
use sandboxer_model::profile::{Trust, WorkspaceAccess};

use crate::config::{COMPOSE_FILES, Config};
use crate::extension::{BASE_DIR, Settings};
use crate::inventory::lack;
use crate::network::{self, BLOCK_PREFIX, Leaves};
use crate::plan::{Plan, ReadyWords, targets_under_deny};
use crate::podman;
use crate::policy::{self, Stack};
use crate::program::program;
use crate::report;
use sandboxer_host::outcome::cut_short;
use sandboxer_host::reply::Reply;

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
            // Nothing is claimed of a file that is taken as it is.
            _ if request.profile.trust == Trust::Full => vec!["none".to_owned()],
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
        // How the connection ended says why, and whether anything was asked of the host.
        talk.finish().await?;
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
    let for_podman = reply
        .engine
        .as_ref()
        .filter(|(_, flavour)| flavour == "podman" && request.profile.trust != Trust::Full)
        .map(|_| podman::translate(&stack.document, id));
    let written = for_podman.as_ref().map_or(&stack.document, |made| &made.document);
    let document = plain_json(written);
    talk.send(format!("compose {}\n", document.len()).as_bytes()).await?;
    talk.send(&document).await?;
    if request.profile.trust == Trust::Full {
        let file = trusted_file(&prepared)?;
        talk.send(format!("trusted {}\n{file}\n", file.len() + 1).as_bytes())
            .await?;
    } else {
        talk.send(format!("wall {}\n{wall}", wall.len()).as_bytes()).await?;
    }
    if let Some(made) = &for_podman {
        for (what, text) in [("networks", &made.networks), ("arguments", &made.arguments)] {
            talk.send(format!("{what} {}\n{text}", text.len()).as_bytes()).await?;
        }
    }
    let builds = builds(&stack, &prepared, call, request, for_podman.is_some())?;
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
    let mut stack = stack;
    if let Some(made) = &for_podman {
        stack.document = podman::expected(&stack.document, made);
    }
    compare(&stack, &reply, request.profile.trust)?;

    let remote_dir = format!("{}/{id}", settings.base_dir);
    let plan = Plan {
        services: report::services(&stack),
        default_service: report::default_service(&stack, &prepared.config),
        tunnel: prepared.config.tunnel.clone(),
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

/// A document that every reader of YAML takes for the same. Some fold the line breaks of other alphabets or refuse control
/// characters, so what is not ASCII is escaped; but not what would take a pair of escapes, which YAML does not know.
fn plain_json(document: &serde_json::Value) -> Vec<u8> {
    let mut plain = String::new();
    for character in document.to_string().chars() {
        match u32::from(character) {
            0x7f..=0xffff => {
                // Only inside of strings.
                let _ = write!(plain, "\\u{:04x}", u32::from(character));
            }
            _ => plain.push(character),
        }
    }
    plain.into_bytes()
}

fn scan(repo: &Path) -> Result<tree::Tree, ExtensionError> {
    Ok(tree::Tree::scan(repo, tree::Limits::default())?)
}

fn labels(call: &Call, request: &ProvisionRequest) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("dev.sandboxer.sandbox".to_owned(), request.sandbox_id.to_string()),
        (
            "dev.sandboxer.installation".to_owned(),
            call.installation_id.to_string(),
        ),
        ("dev.sandboxer.epoch".to_owned(), call.epoch.0.to_string()),
        ("dev.sandboxer.profile".to_owned(), request.profile.id.clone()),
    ])
}

/// The fresh file, for these addresses.
fn stack(
    prepared: &Prepared,
    base_dir: &str,
    block: Ipv4Addr,
    names: &[(String, Ipv4Addr)],
    labels: &BTreeMap<String, String>,
) -> Result<Stack, ExtensionError> {
    let profile = &prepared.request.profile;
    let id = prepared.request.sandbox_id.as_str();
    let nowhere = Path::new("/var/empty");
    let root = prepared.repo.as_deref().unwrap_or(nowhere);
    let project = match policy::Project::open(root) {
        Ok(project) => project,
        // Without a repository nothing is read from it.
        Err(_) if prepared.repo.is_none() => {
            policy::Project::open(Path::new("/")).map_err(|error| unreadable(root, &error))?
        }
        Err(error) => return Err(unreadable(root, &error)),
    };
    let compose_file = compose_file(prepared, &project)?;
    let remote_dir = format!("{base_dir}/{id}");
    let copies_dir = format!("{base_dir}/.sbx/{id}/copies");
    let request = policy::Request {
        project: &project,
        compose_file: &compose_file,
        name: id,
        labels: labels.clone(),
        limits: policy::Limits {
            cpu: profile.resources.cpu,
            memory_mb: profile.resources.memory_mb,
            pids: profile.resources.pids,
        },
        network: policy::NetworkPlan {
            block,
            networks: network::MOST_NETWORKS,
            bridge: network::bridge_prefix(id),
            egress: match &prepared.leaves {
                Leaves::Nothing => policy::Egress::Nothing,
                Leaves::Listed(_) => policy::Egress::Listed(names.to_vec()),
                Leaves::Anything => policy::Egress::Open,
            },
        },
        remote_dir: &remote_dir,
        copies_dir: &copies_dir,
        tree: match profile.workspace.access {
            WorkspaceAccess::Ro => policy::TreeAccess::ReadOnly,
            WorkspaceAccess::Rw | WorkspaceAccess::None => policy::TreeAccess::AsWritten,
        },
    };
    let made = match (&prepared.repo, &prepared.config.image) {
        (Some(_), _) if profile.trust == Trust::Full => policy::trusted(&request),
        (None, Some(image)) => policy::single(&request, image),
        _ => policy::reconstruct(&request),
    };
    made.map_err(|refusals| refused(&refusals))
}

/// The file's path relative to the repository.
fn compose_file(prepared: &Prepared, project: &policy::Project) -> Result<String, ExtensionError> {
    match (&prepared.config.compose_file, &prepared.repo) {
        (Some(file), _) => Ok(file.clone()),
        (None, None) => Ok(String::new()),
        (None, Some(repo)) => project.first_of(COMPOSE_FILES).map(str::to_owned).ok_or_else(|| {
            ExtensionError::new(
                ErrorKind::Invalid,
                format!(
                    "{} has no Compose file: none of {}",
                    repo.display(),
                    COMPOSE_FILES.join(", ")
                ),
            )
            .hint("name it with `--input compose_file=PATH`, or `config.compose_file` in the profile")
        }),
    }
}

/// The same for a file that is taken as it is: one line, beneath the repository.
fn trusted_file(prepared: &Prepared) -> Result<String, ExtensionError> {
    let repo = prepared.repo.as_deref().unwrap_or(Path::new("/var/empty"));
    let project = policy::Project::open(repo).map_err(|error| unreadable(repo, &error))?;
    let file = compose_file(prepared, &project)?;
    let plain =
        !file.starts_with('/') && !file.chars().any(char::is_control) && !file.split('/').any(|part| part == "..");
    if plain {
        return Ok(file);
    }
    Err(ExtensionError::new(
        ErrorKind::Invalid,
        format!("`{file}` is no path of the repository"),
    ))
}

fn unreadable(root: &Path, error: &std::io::Error) -> ExtensionError {
    ExtensionError::new(ErrorKind::Invalid, format!("cannot open {}: {error}", root.display()))
}

/// Every refusal, one a line, as far as a person would read.
fn refused(refusals: &[policy::Refusal]) -> ExtensionError {
    const SHOWN: usize = 20;
    let mut lines: Vec<String> = refusals.iter().take(SHOWN).map(ToString::to_string).collect();
    if refusals.len() > SHOWN {
        lines.push(format!("and {} more", refusals.len() - SHOWN));
    }
    ExtensionError::new(ErrorKind::Invalid, lines.join("\n"))
        .hint("remove what a sandbox cannot have; for the operator's own repositories a profile can say `trust: full`")
}

/// Refuses a host that could not hold what the profile says.
fn refuse_lacking(prepared: &Prepared, reply: &Reply, machine: &Machine) -> Result<(), ExtensionError> {
    let trusted = prepared.request.profile.trust == Trust::Full;
    let missing: Vec<String> = reply
        .lacks
        .iter()
        .filter(|what| matches!(what.as_str(), "root" | "nft") && !trusted)
        .map(|what| lack(what))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ExtensionError::new(
        ErrorKind::CannotEnforce,
        format!("{} has {}", machine.address(), missing.join("; ")),
    ))
}

/// The command lines of builds, each word quoted: they are read by the shell on the host.
fn builds(
    stack: &Stack,
    prepared: &Prepared,
    call: &Call,
    request: &ProvisionRequest,
    is_podman: bool,
) -> Result<Vec<u8>, ExtensionError> {
    let mut script = Vec::new();
    for (number, path) in stack.copies.iter().enumerate() {
        let path = format!("./{}", path.display());
        let quoted = quote::shell(path.as_bytes())
            .map_err(|error| ExtensionError::new(ErrorKind::Invalid, format!("a path of the project: {error}")))?;
        script.extend_from_slice(format!("part {number} ").as_bytes());
        script.extend_from_slice(&quoted);
        script.push(b'\n');
    }
    for build in &stack.builds {
        let mut words: Vec<String> = vec!["-t".to_owned(), build.tag.clone(), "--force-rm".to_owned()];
        // Containers of its steps carry no label; by this they are known.
        if !is_podman {
            words.extend(["--add-host".to_owned(), format!("{}:127.0.0.1", request.sandbox_id)]);
        }
        // A build that could reach the world would be the way out that the services do not have.
        if prepared.leaves != Leaves::Anything {
            words.push("--network=none".to_owned());
        }
        if let Some(mib) = request.profile.resources.memory_mb {
            words.push(format!("--memory={mib}m"));
        }
        if let Some(cpus) = request.profile.resources.cpu {
            words.extend([
                "--cpu-period=100000".to_owned(),
                format!("--cpu-quota={}", (cpus * 100_000.0).round() as u64),
            ]);
        }
        for (name, value) in labels(call, request) {
            words.extend(["--label".to_owned(), format!("{name}={value}")]);
        }
        for (name, value) in &build.args {
            words.extend(["--build-arg".to_owned(), format!("{name}={value}")]);
        }
        if let Some(target) = &build.target {
            words.extend(["--target".to_owned(), target.clone()]);
        }
        words.extend(["-f".to_owned(), format!("./{}", build.dockerfile.display())]);
        words.push(format!("./{}", build.context.display()));
        script.extend_from_slice(b"build");
        // The tag comes first, for the program to see whether the image is there already.
        for word in std::iter::once(build.tag.clone()).chain(words) {
            script.push(b' ');
            let quoted = quote::shell(word.as_bytes()).map_err(|error| {
                ExtensionError::new(ErrorKind::Invalid, format!("a build of {}: {error}", build.service))
            })?;
            script.extend_from_slice(&quoted);
        }
        script.push(b'\n');
    }
    Ok(script)
}

/// Refuses a sandbox whose containers are not what the fresh file says.
fn compare(stack: &Stack, reply: &Reply, trust: Trust) -> Result<(), ExtensionError> {
    if trust == Trust::Full {
        return Ok(());
    }
    let Some(inspected) = &reply.inspected else {
        return Err(ExtensionError::new(
            ErrorKind::Policy,
            "the containers could not be looked at",
        ));
    };
    let mismatches = policy::compare(stack, inspected);
    if mismatches.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = mismatches.iter().take(10).map(ToString::to_string).collect();
    Err(ExtensionError::new(
        ErrorKind::Policy,
        format!("the containers are not what was asked for: {}", lines.join("; ")),
    ))
}

/// Runs what waits for the disk without holding up other tasks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExtensionError> + Send + 'static,
) -> Result<T, ExtensionError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(ExtensionError::new(
            ErrorKind::Failed,
            format!("a worker ended early: {error}"),
        )),
    }
}
