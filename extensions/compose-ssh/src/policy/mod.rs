//! A Compose file is code that runs on its host: it can mount the host, start its programs and read its files. So a
//! stranger's file is never handed on, and never cleaned: it is read into a model that knows only what is harmless, and a
//! fresh file is written from that model. What the model does not know is refused, by file, line, service and key.
//!
//! | module | holds |
//! |---|---|
//! | `project` | the repository, read beneath an open directory and through no link |
//! | `read` | the text as a tree: bounded, merge keys expanded, variables filled in from the project's own `.env` |
//! | `extend` | one service that extends another of the same file |
//! | `fields` | taking a mapping apart, so that what nobody took is refused |
//! | `refusal` | what is not accepted, where it stands and why |
//! | `value` | words, pairs, numbers, sizes, durations and paths of Compose |
//! | `service` | one service, as far as it is harmless; its parts by what they are about: `environment`, `health`, `limits` … |
//! | `mount`, `port`, `build` | what it mounts, where it listens, how its image is made |
//! | `file` | the whole file: services, volumes, networks, what refers to what |
//! | `emit` | the fresh file |
//! | `compare` | what the engine says of the containers, against the fresh file |
//!
//! Facts: Compose 5.6.1 runs the program that `provider.type` names, reads files outside of the project through `include`,
//! `extends` and `env_file`, and publishes ports on every address; see the Compose specification for the rest.

mod build;
mod compare;
mod emit;
mod extend;
mod fields;
mod file;
mod mount;
mod port;
mod project;
mod read;
mod refusal;
mod service;
mod value;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

pub use build::Build;
pub use compare::{Mismatch, compare};
pub use port::{Port, Protocol};
pub use project::Project;
pub use refusal::Refusal;

/// What to reconstruct, and within which bounds.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The repository.
    pub project: &'a Project,
    /// The Compose file, relative to it.
    pub compose_file: &'a str,
    /// Name of the project: the sandbox's id.
    pub name: &'a str,
    /// Written on everything that is made.
    pub labels: BTreeMap<String, String>,
    /// For all services together.
    pub limits: Limits,
    /// The addresses of the sandbox and what leaves it.
    pub network: NetworkPlan,
    /// Where the repository is on the host, absolute.
    pub remote_dir: &'a str,
    /// Where copies of its parts are on the host, absolute: beyond the reach of containers.
    pub copies_dir: &'a str,
    /// Whether services may write to the repository on the host.
    pub tree: TreeAccess,
}

/// Whether services may write to the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeAccess {
    /// Only read.
    ReadOnly,
    /// As the file says.
    AsWritten,
}

/// Limits of the whole sandbox; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Processors.
    pub cpu: Option<f64>,
    /// MiB of memory.
    pub memory_mb: Option<u64>,
    /// Processes.
    pub pids: Option<u64>,
}

/// The addresses of the sandbox and what leaves it.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkPlan {
    /// First address of the block; a network of 16 addresses is carved from it for each that the file names.
    pub block: Ipv4Addr,
    /// How many networks fit.
    pub networks: usize,
    /// What the bridges are called, before their number.
    pub bridge: String,
    /// What leaves.
    pub egress: Egress,
}

/// What leaves the sandbox.
#[derive(Debug, Clone, PartialEq)]
pub enum Egress {
    /// Nothing: networks are internal, no name of the world resolves, and services answer at their own addresses.
    Nothing,
    /// What the wall around it lets through, under these names.
    Listed(Vec<(String, Ipv4Addr)>),
    /// Everything the wall lets through; names resolve.
    Open,
}

/// A file that was reconstructed.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// The fresh file; JSON is YAML.
    pub document: serde_json::Value,
    /// Its services.
    pub services: BTreeMap<String, ServicePlan>,
    /// Images to be built before.
    pub builds: Vec<Build>,
    /// Places of the repository to be copied before, each to its number.
    pub copies: Vec<std::path::PathBuf>,
    /// What was accepted and changed, for people.
    pub notes: Vec<String>,
}

/// What is known of a service before it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct ServicePlan {
    /// Ports it listens on, as the file says.
    pub ports: Vec<Port>,
    /// Its address on the first of its networks; `None` without a network.
    pub address: Option<Ipv4Addr>,
    /// Whether the file gives it a health check.
    pub has_health_check: bool,
}

/// Reconstructs a Compose file.
///
/// # Errors
/// Everything in it that is not known to be harmless.
pub fn reconstruct(request: &Request<'_>) -> Result<Stack, Vec<Refusal>> {
    let source = read::read(request.project, request.compose_file)?;
    let file = file::understand(request, &source)?;
    emit::emit(request, &file)
}

/// The operator's own file, taken as it is: all that is made is a second file that says whose its services are.
///
/// # Errors
/// It is no Compose file.
pub fn trusted(request: &Request<'_>) -> Result<Stack, Vec<Refusal>> {
    let names = read::service_names(request.project, request.compose_file)?;
    let services: serde_json::Map<String, serde_json::Value> = names
        .into_iter()
        .map(|name| (name, serde_json::json!({ "labels": request.labels })))
        .collect();
    Ok(Stack {
        services: services
            .keys()
            .map(|name| {
                let plan = ServicePlan {
                    ports: Vec::new(),
                    address: None,
                    has_health_check: false,
                };
                (name.clone(), plan)
            })
            .collect(),
        document: serde_json::json!({ "services": services }),
        builds: Vec::new(),
        copies: Vec::new(),
        notes: vec!["`trust: full`: the file is taken as it is, and may reach the host".to_owned()],
    })
}

/// The file of a sandbox without a repository: one service of this image that waits to be used.
///
/// # Errors
/// The image is no image.
pub fn single(request: &Request<'_>, image: &str) -> Result<Stack, Vec<Refusal>> {
    let text = serde_json::json!({
        "services": { "sandbox": { "image": image, "init": true, "command": ["sleep", "2147483647"] } }
    });
    let source = read::of_text("config.image", &text.to_string(), BTreeMap::new())?;
    let file = file::understand(request, &source)?;
    emit::emit(request, &file)
}
