//! The whole file: services, volumes, networks, and what refers to what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Request;
use super::fields::{At, Found};
use super::mount::MountKind;
use super::read::Source;
use super::refusal::Refusal;
use super::service::{Service, service};
use super::value::is_name;

/// The network of a service that names none.
const DEFAULT: &str = "default";
/// Services a file can have.
const MOST_SERVICES: usize = 40;
/// Addresses of a network of sixteen that containers can have: not its first, its last, or the bridge's.
pub(super) const ADDRESSES: usize = 13;

/// A file that was understood.
#[derive(Debug)]
pub(super) struct File {
    pub(super) services: BTreeMap<String, Service>,
    /// Those that are used, in order.
    pub(super) volumes: BTreeSet<String>,
    pub(super) networks: Vec<String>,
    /// Places of the repository that services get a copy of.
    pub(super) copies: Vec<PathBuf>,
    pub(super) notes: Vec<String>,
}

/// Understands a file, or says everything that is in the way.
pub(super) fn understand(request: &Request<'_>, source: &Source) -> Result<File, Vec<Refusal>> {
    let found = Found::new(&source.file, source.notes.clone());
    let file = read(request, source, &found);
    let notes = found.finish()?;
    match file {
        Some(mut file) => {
            file.notes = notes;
            Ok(file)
        }
        None => Err(vec![Refusal::new(
            &source.file,
            source.root.place,
            &[],
            "is no Compose file",
        )]),
    }
}

fn read<'a>(request: &Request<'a>, source: &'a Source, found: &'a Found<'a>) -> Option<File> {
    let root = At::new(&source.root, Vec::new(), found);
    let mut fields = root.fields()?;
    let project: Option<(&super::Project, &Path)> = Some((request.project, source.directory.as_path()));
    let mut files = super::mount::Files::new();
    for kind in ["secrets", "configs"] {
        if let Some(at) = fields.take(kind) {
            super::mount::declared_files(&at, kind, project, &mut files);
        }
    }
    let services = fields.take("services");
    let volumes = declared(fields.take("volumes"), &["name"]);
    let networks = declared(
        fields.take("networks"),
        &["name", "internal", "attachable", "enable_ipv6"],
    );
    fields.drop_keys(&["version"], "is not used");
    fields.drop_keys(&["name"], "is not used: the project is named after the sandbox");
    fields.drop_extensions();
    fields.finish();
    let Some(services_at) = services else {
        return root.refuse("has no services");
    };
    let mut read = BTreeMap::new();
    for (name, at) in services_at.entries()? {
        if !is_name(name) {
            at.refuse::<()>(format!("`{name}` is not the name of a service"));
            continue;
        }
        let tag = format!("{}-{}:sandbox", request.name, name.to_ascii_lowercase());
        if let Some(service) = service(&at, name, &tag, project, &files) {
            check_references(&at, &service, &volumes, &networks);
            read.insert(name.to_owned(), (service, at));
        }
    }
    if read.len() > MOST_SERVICES {
        return services_at.refuse(format!("has {} services: at most {MOST_SERVICES}", read.len()));
    }
    // As Compose does without `--profile`.
    let resting: Vec<String> = read
        .iter()
        .filter(|(_, (service, _))| service.profiles)
        .map(|(name, _)| name.clone())
        .collect();
    for name in &resting {
        read.remove(name);
        found.note(format!(
            "`services.{name}` has a profile, and none is chosen: it does not start"
        ));
    }
    if read.is_empty() {
        return services_at.refuse("has no service that starts");
    }
    check_dependencies(&read);
    give_aliases(&mut read);
    let copies = nested_binds(request, &mut read);
    let used: BTreeSet<String> = read
        .values()
        .filter(|(service, _)| !service.no_network)
        .flat_map(|(service, _)| match &service.networks {
            Some(named) => named.keys().cloned().collect(),
            None => vec![DEFAULT.to_owned()],
        })
        .collect();
    if used.len() > request.network.networks {
        return services_at.refuse(format!(
            "use {} networks: a sandbox has at most {}",
            used.len(),
            request.network.networks
        ));
    }
    let volumes_used = read
        .values()
        .flat_map(|(service, _)| &service.mounts)
        .filter_map(|mount| match &mount.kind {
            MountKind::Named(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    for network in &used {
        let count = read.values().filter(|(service, _)| on(service, network)).count();
        if count > ADDRESSES {
            return services_at.refuse(format!(
                "put {count} services on the network `{network}`: at most {ADDRESSES}"
            ));
        }
    }
    Some(File {
        services: read.into_iter().map(|(name, (service, _))| (name, service)).collect(),
        volumes: volumes_used,
        networks: used.into_iter().collect(),
        copies,
        notes: Vec::new(),
    })
}

/// Whether a service is on a network.
pub(super) fn on(service: &Service, network: &str) -> bool {
    !service.no_network
        && match &service.networks {
            Some(named) => named.contains_key(network),
            None => network == DEFAULT,
        }
}

/// Top-level volumes or networks: their names. What they ask for must be nothing.
fn declared(at: Option<At<'_>>, ignored: &[&'static str]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let Some(at) = at else { return names };
    for (name, item) in at.entries().unwrap_or_default() {
        if !is_name(name) {
            item.refuse::<()>(format!("`{name}` is not a name"));
            continue;
        }
        names.insert(name.to_owned());
        let Some(mut fields) = item.fields() else { continue };
        if let Some(driver) = fields.take("driver")
            && !matches!(driver.text().as_deref(), Some("local" | "bridge" | "default"))
        {
            driver.refuse::<()>("is not the engine's plain one");
        }
        if let Some(external) = fields.take("external")
            && external.truth() != Some(false)
        {
            external.refuse::<()>("would use what is not the sandbox's");
        }
        if let Some(labels) = fields.take("labels") {
            // They are not passed on, so they only have to be labels.
            super::value::pairs(&labels);
        }
        for options in ["driver_opts", "ipam"] {
            let key = if options == "ipam" { "ipam" } else { "driver_opts" };
            if let Some(given) = fields.take(key)
                && given.fields().is_none_or(|fields| !fields.is_empty())
            {
                given.refuse::<()>(super::refusal::reason(key).unwrap_or_default());
            }
        }
        fields.drop_keys(ignored, "is not used: the sandbox has its own");
        fields.drop_extensions();
        fields.finish();
    }
    names
}

fn check_references(at: &At<'_>, service: &Service, volumes: &BTreeSet<String>, networks: &BTreeSet<String>) {
    for mount in &service.mounts {
        if let MountKind::Named(name) = &mount.kind
            && !volumes.contains(name)
        {
            at.child("volumes", at.node)
                .refuse::<()>(format!("names the volume `{name}`, which the file does not declare"));
        }
    }
    let mut targets = BTreeSet::new();
    for mount in &service.mounts {
        if !targets.insert(&mount.target) {
            at.child("volumes", at.node)
                .refuse::<()>(format!("mounts two things at `{}`", mount.target));
        }
    }
    for name in service.networks.iter().flat_map(BTreeMap::keys) {
        if name != DEFAULT && !networks.contains(name) {
            at.child("networks", at.node)
                .refuse::<()>(format!("names the network `{name}`, which the file does not declare"));
        }
    }
}

fn check_dependencies(services: &BTreeMap<String, (Service, At<'_>)>) {
    for (service, at) in services.values() {
        for name in service.depends_on.keys() {
            if !services.contains_key(name) {
                at.child("depends_on", at.node)
                    .refuse::<()>(format!("names `{name}`, which is no service that starts"));
            }
        }
    }
}

/// A name that one service knows another by is a name of that other one on its networks.
fn give_aliases(services: &mut BTreeMap<String, (Service, At<'_>)>) {
    let all: Vec<(String, String)> = services
        .values()
        .flat_map(|(service, _)| service.link_aliases.clone())
        .collect();
    for (name, alias) in all {
        let Some((service, _)) = services.get_mut(&name) else {
            continue;
        };
        let networks = service
            .networks
            .get_or_insert_with(|| BTreeMap::from([(DEFAULT.to_owned(), Vec::new())]));
        for aliases in networks.values_mut() {
            aliases.push(alias.clone());
        }
    }
}

/// The engine follows the way to a source when a container starts. A container that can write above it could have put a
/// link there by then, and the link would lead wherever it likes on the host. So what lies beneath a writable place is bound
/// from a copy that no container can reach. One that is written to would no longer show above, and is refused.
fn nested_binds(request: &Request<'_>, services: &mut BTreeMap<String, (Service, At<'_>)>) -> Vec<PathBuf> {
    let mut copies: Vec<PathBuf> = Vec::new();
    if request.tree == super::TreeAccess::ReadOnly {
        return copies;
    }
    let writable: Vec<PathBuf> = services
        .values()
        .flat_map(|(service, _)| &service.mounts)
        .filter_map(|mount| match &mount.kind {
            MountKind::Bind(path) if !mount.read_only => Some(path.clone()),
            _ => None,
        })
        .collect();
    for (name, (service, at)) in services.iter_mut() {
        for mount in &mut service.mounts {
            let MountKind::Bind(path) = &mount.kind else { continue };
            let Some(outer) = writable.iter().find(|outer| path != *outer && path.starts_with(outer)) else {
                continue;
            };
            let outer = if outer.as_os_str().is_empty() {
                ".".into()
            } else {
                outer.display().to_string()
            };
            let found = request.project.find(path);
            if !mount.read_only
                && found != Ok(super::project::Found::File)
                && found != Ok(super::project::Found::Directory)
            {
                at.child("volumes", at.node).refuse_with::<()>(
                    format!(
                        "mounts `{}`, which is not in the project, and `{outer}` above it is mounted writable",
                        path.display()
                    ),
                    "keep it in a named volume",
                );
                continue;
            }
            at.found.note(format!(
                "`services.{name}.volumes`: `{}` is a copy, since `{outer}` above it is mounted writable",
                path.display()
            ));
            let number = copies.iter().position(|copy| copy == path).unwrap_or_else(|| {
                copies.push(path.clone());
                copies.len() - 1
            });
            mount.kind = MountKind::Copy(number);
        }
    }
    copies
}
