//! What is mounted into a service.

use std::path::PathBuf;

use sandboxer_model::document::Value;

use super::fields::At;
use super::project::{Found, Project, inside};
use super::value;

/// A memory file system is at most this large.
const MOST_TMPFS: u64 = 256 << 20;

/// Something that is mounted into a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) kind: MountKind,
    pub(super) target: String,
    pub(super) read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MountKind {
    /// A volume of the file.
    Named(String),
    /// A volume nobody named.
    Anonymous,
    /// A place of the repository, relative to its root.
    Bind(PathBuf),
    /// The copy of this number, made before anything runs.
    Copy(usize),
    /// Memory, of so many bytes.
    Memory(u64),
}

/// `volumes` of a service.
pub(super) fn volumes(at: &At<'_>, project: Option<(&Project, &std::path::Path)>) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for item in at.items().unwrap_or_default() {
        match &item.node.value {
            Value::Map(_) => mounts.extend(long(&item, project)),
            _ => mounts.extend(short(&item, project)),
        }
    }
    mounts
}

/// Secrets and configs that a file declares: kind and name → where in the project.
pub(super) type Files = std::collections::BTreeMap<(&'static str, String), PathBuf>;

/// Top-level `secrets` or `configs`: files of the project, and nothing else.
pub(super) fn declared_files(
    at: &At<'_>,
    kind: &'static str,
    project: Option<(&Project, &std::path::Path)>,
    files: &mut Files,
) {
    for (name, item) in at.entries().unwrap_or_default() {
        if !value::is_name(name) {
            item.refuse::<()>(format!("`{name}` is not a name"));
            continue;
        }
        let Some(mut fields) = item.fields() else { continue };
        if let Some(external) = fields.take("external")
            && external.truth() != Some(false)
        {
            external.refuse::<()>("would use what is not the sandbox's");
        }
        fields.drop_keys(&["name"], "is not used: the sandbox has its own");
        let path = fields.take("file").and_then(|file| {
            let text = file.text()?;
            match bind(&file, &text, project)? {
                MountKind::Bind(path) => Some(path),
                _ => None,
            }
        });
        fields.finish();
        match path {
            Some(path) => {
                files.insert((kind, name.to_owned()), path);
            }
            None => {
                item.refuse::<()>("names no file of the project");
            }
        }
    }
}

/// `secrets` or `configs` of a service: each file is bound read-only.
pub(super) fn files(at: &At<'_>, kind: &'static str, folder: &str, files: &Files) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for item in at.items().unwrap_or_default() {
        mounts.extend(one_file(&item, kind, folder, files));
    }
    mounts
}

fn one_file(at: &At<'_>, kind: &'static str, folder: &str, files: &Files) -> Option<Mount> {
    let (name, target) = match &at.node.value {
        Value::Map(_) => {
            let mut fields = at.fields()?;
            let name = fields.take("source").and_then(|source| source.text());
            let target = fields.take("target").and_then(|target| target.text());
            fields.drop_keys(&["uid", "gid", "mode"], "is not used: files are as in the repository");
            fields.finish();
            match name {
                Some(name) => (name, target),
                None => return at.refuse("names no source"),
            }
        }
        _ => (at.text()?, None),
    };
    let Some(path) = files.get(&(kind, name.clone())) else {
        return at.refuse(format!("names `{name}`, which the file does not declare"));
    };
    let target = match target {
        Some(target) if target.starts_with('/') => target,
        Some(target) => format!("{folder}{target}"),
        None => format!("{folder}{name}"),
    };
    Some(Mount {
        kind: MountKind::Bind(path.clone()),
        target: value::target(at, &target)?,
        read_only: true,
    })
}

/// `tmpfs` of a service: `target[:options]`, of which only a size is heard.
pub(super) fn tmpfs(at: &At<'_>) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for item in at.one_or_more().unwrap_or_default() {
        let Some(text) = item.text() else { continue };
        let (target, options) = text.split_once(':').unwrap_or((&text, ""));
        let mut size = MOST_TMPFS;
        let mut good = true;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("size", text)) => match text.to_ascii_lowercase().trim_end_matches('b') {
                    digits if digits.ends_with(['k', 'm', 'g']) || digits.bytes().all(|b| b.is_ascii_digit()) => {
                        size = size.min(parse_size(digits).unwrap_or(MOST_TMPFS));
                    }
                    _ => good = item.refuse::<()>(format!("has the size `{text}`")).is_some(),
                },
                Some(("mode" | "uid" | "gid", digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => {}
                None if matches!(option, "rw" | "noexec" | "nosuid" | "nodev") => {}
                _ => good = item.refuse::<()>(format!("has the option `{option}`")).is_some(),
            }
        }
        if let (true, Some(target)) = (good, value::target(&item, target)) {
            mounts.push(Mount {
                kind: MountKind::Memory(size),
                target,
                read_only: false,
            });
        }
    }
    mounts
}

fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.bytes().last()? {
        b'k' => (text.get(..text.len() - 1)?, 1u64 << 10),
        b'm' => (text.get(..text.len() - 1)?, 1 << 20),
        b'g' => (text.get(..text.len() - 1)?, 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

fn short(at: &At<'_>, project: Option<(&Project, &std::path::Path)>) -> Option<Mount> {
    let text = at.text()?;
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some(*source), *target, ""),
        [source, target, options] => (Some(*source), *target, *options),
        _ => return at.refuse(format!("is `{text}`, not `[source:]target[:ro]`")),
    };
    let mut read_only = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            // Hints for systems that label or cache: without a meaning here.
            "rw" | "cached" | "delegated" | "consistent" | "z" | "Z" | "nocopy" => {}
            _ => return at.refuse(format!("has the option `{option}`; accepted: ro, rw")),
        }
    }
    let target = value::target(at, target)?;
    let kind = match source {
        None => MountKind::Anonymous,
        Some(source) if is_path(source) => bind(at, source, project)?,
        Some(name) if value::is_name(name) => MountKind::Named(name.to_owned()),
        Some(other) => {
            return at.refuse(format!(
                "has the source `{other}`: neither a volume nor a path of the project"
            ));
        }
    };
    Some(Mount {
        kind,
        target,
        read_only,
    })
}

/// As Compose tells a path from a volume's name.
fn is_path(source: &str) -> bool {
    source.starts_with(['.', '/', '~']) || source.contains('/') || source.contains('\\')
}

fn bind(at: &At<'_>, source: &str, project: Option<(&Project, &std::path::Path)>) -> Option<MountKind> {
    let Some((project, directory)) = project else {
        return at.refuse("mounts a path, and there is no project");
    };
    let path = match inside(directory, source) {
        Ok(path) => path,
        Err(why) => return at.refuse(format!("mounts `{source}`, which {why}")),
    };
    if path
        .components()
        .any(|part| part.as_os_str().to_string_lossy().contains([':', ',']))
    {
        return at.refuse("mounts a path with `:` or `,` in it");
    }
    match project.find(&path) {
        Ok(Found::Directory | Found::File | Found::Missing) => Some(MountKind::Bind(path)),
        Err(why) => at.refuse(format!("mounts `{source}`, which {why}")),
    }
}

fn long(at: &At<'_>, project: Option<(&Project, &std::path::Path)>) -> Option<Mount> {
    let mut fields = at.fields()?;
    let kind = fields
        .take("type")
        .and_then(|kind| kind.one_of(&["volume", "bind", "tmpfs"]));
    let source = fields
        .take("source")
        .and_then(|source| source.text().map(|text| (source, text)));
    let target = fields.take("target").and_then(|target| {
        let text = target.text()?;
        value::target(&target, &text)
    });
    let read_only = fields
        .take("read_only")
        .is_some_and(|read_only| read_only.truth() == Some(true));
    if let Some(consistency) = fields.take("consistency") {
        consistency.one_of(&["consistent", "cached", "delegated"])?;
    }
    if let Some(options) = fields.take("bind") {
        let mut options = options.fields()?;
        if let Some(create) = options.take("create_host_path") {
            create.truth()?;
        }
        if let Some(selinux) = options.take("selinux") {
            selinux.one_of(&["z", "Z"])?;
        }
        options.finish();
    }
    if let Some(options) = fields.take("volume") {
        let mut options = options.fields()?;
        if let Some(nocopy) = options.take("nocopy") {
            nocopy.truth()?;
        }
        options.finish();
    }
    let mut size = MOST_TMPFS;
    if let Some(options) = fields.take("tmpfs") {
        let mut options = options.fields()?;
        if let Some(given) = options.take("size") {
            size = size.min(value::size(&given)?);
        }
        options.drop_keys(&["mode"], "is not used");
        options.finish();
    }
    fields.finish();
    let Some(kind) = kind else {
        return at.refuse("names no type: volume, bind or tmpfs");
    };
    let kind = match (kind, source) {
        ("tmpfs", None) => MountKind::Memory(size),
        ("tmpfs", Some(_)) => return at.refuse("gives memory a source"),
        ("volume", None) => MountKind::Anonymous,
        ("volume", Some((_, name))) if value::is_name(&name) => MountKind::Named(name),
        ("volume", Some((source, name))) => return source.refuse(format!("is `{name}`, not the name of a volume")),
        (_, Some((source, path))) => bind(&source, &path, project)?,
        (_, None) => return at.refuse("binds nothing"),
    };
    let Some(target) = target else {
        return at.refuse("names no target");
    };
    Some(Mount {
        kind,
        target,
        read_only,
    })
}
