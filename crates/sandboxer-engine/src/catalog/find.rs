//! Finding one profile by name, and listing all.

use std::collections::BTreeMap;
use std::path::Path;

pub use sandboxer_api::catalog::Listed;
use sandboxer_model::document::{Diagnostic, Place, decode, is_profile_id, nearest, parse_profile, read_checked};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::profile::{Profile, Trust};

use super::layer::{Layer, Layers, Shelf, own_shelves, shelves};
use super::report::invalid;
use super::{file, shipped};

/// The profiles of this installation, in layers: the nearest one of a name wins.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    layers: Layers,
}

/// A profile that was found.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The profile.
    pub profile: Profile,
    /// Where it came from: `shipped`, or a file.
    pub source: String,
    /// Where profiles of the same name are that it hides, nearest first.
    pub overrides: Vec<String>,
}

/// What a shelf is called that is inside the binary.
const SHIPPED: &str = "shipped";

impl Catalog {
    /// The catalog of these layers; shipped profiles and those of a repository are always part of it.
    pub fn new(layers: Layers) -> Catalog {
        Catalog { layers }
    }

    /// Finds a profile by id, or reads the file `name` when it has a `/` or ends in `.yaml`, `.yml` or `.json`;
    /// relative to `working_dir`. Looks at no other profile.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], with the nearest names; [`ErrorCode::InvalidProfile`] when the nearest file of this
    /// name cannot be used: falling back to a farther one would run something else than what was written.
    pub fn resolve(&self, name: &str, working_dir: &Path) -> Result<Resolved, UserError> {
        if is_path(name) {
            let profile = self.read_path(name, working_dir)?;
            return Ok(Resolved {
                profile,
                source: name.to_owned(),
                overrides: Vec::new(),
            });
        }
        self.resolve_on(name, &shelves(&self.layers, working_dir), working_dir)
    }

    /// Finds a profile by id in the layers that belong to the machine and the user: for somebody who works elsewhere, and
    /// must not name files of this machine.
    ///
    /// # Errors
    /// As [`Catalog::resolve`]; [`ErrorCode::InvalidInput`] for a path.
    pub fn resolve_shared(&self, name: &str) -> Result<Resolved, UserError> {
        if is_path(name) {
            let shown: String = name.chars().take(80).filter(|c| !c.is_control()).collect();
            let what = format!("`{shown}` is not the name of a profile");
            return Err(UserError::new(ErrorCode::InvalidInput, what)
                .hint("name a profile of the catalog; see them all with `sandboxer profiles list`"));
        }
        self.resolve_on(name, &own_shelves(&self.layers), Path::new("/"))
    }

    fn resolve_on(&self, name: &str, shelves: &[Shelf], working_dir: &Path) -> Result<Resolved, UserError> {
        if !is_profile_id(name) {
            return Err(unknown(name, shelves));
        }
        let file_name = format!("{name}.yaml");
        let mut found: Option<(Profile, String)> = None;
        let mut overrides = Vec::new();
        for shelf in shelves {
            let source = || shelf.dir.join(&file_name).display().to_string();
            if found.is_some() {
                if file::is_on(shelf, &file_name) {
                    overrides.push(source());
                }
            } else if let Some(parsed) = read_shelf(shelf, &file_name, working_dir) {
                let source = source();
                let profile = parsed.map_err(|problems| invalid(&source, &problems))?;
                found = Some((profile, source));
            }
        }
        match (found, shipped::text(name)) {
            (Some((profile, source)), text) => {
                overrides.extend(text.map(|_| SHIPPED.to_owned()));
                Ok(Resolved {
                    profile,
                    source,
                    overrides,
                })
            }
            (None, Some(text)) => {
                let profile = read_checked(name, text).map_err(|problems| invalid(name, &problems))?;
                Ok(Resolved {
                    profile,
                    source: SHIPPED.to_owned(),
                    overrides,
                })
            }
            (None, None) => Err(unknown(name, shelves)),
        }
    }

    /// Every profile that [`Catalog::resolve`] would find, in order of id, and what is wrong with the files it would
    /// not. A file that cannot be used hides no other name.
    pub fn list(&self, working_dir: &Path) -> (Vec<Listed>, Vec<Diagnostic>) {
        // `None`: the nearest file of this name is broken, so farther ones are not reachable either.
        let mut listed: BTreeMap<String, Option<Listed>> = BTreeMap::new();
        let mut problems = Vec::new();
        for shelf in shelves(&self.layers, working_dir) {
            let names = file::names(&shelf).unwrap_or_else(|why| {
                problems.push(unreadable(&shelf.dir.display().to_string(), &why));
                Vec::new()
            });
            for name in names.iter().filter(|name| is_document(name)) {
                let source = shelf.dir.join(name).display().to_string();
                let Some(id) = name.strip_suffix(".yaml").filter(|id| is_profile_id(id)) else {
                    let problem = unreadable(&source, "it is never found under this name");
                    problems.push(problem.with_help("name it `profile.<name>.yaml`, as its id"));
                    continue;
                };
                match listed.get_mut(id) {
                    Some(Some(nearer)) => nearer.shadowed.push(source),
                    Some(None) => {}
                    None => match read_shelf(&shelf, name, working_dir) {
                        Some(Ok(profile)) => {
                            listed.insert(id.to_owned(), Some(line(profile, shelf.layer, source)));
                        }
                        Some(Err(found)) => {
                            listed.insert(id.to_owned(), None);
                            problems.extend(found);
                        }
                        None => {}
                    },
                }
            }
        }
        for (id, text) in shipped::SHIPPED {
            match (listed.get_mut(*id), read_checked(id, text)) {
                (Some(Some(nearer)), _) => nearer.shadowed.push(SHIPPED.to_owned()),
                (Some(None), _) => {}
                (None, Ok(profile)) => {
                    listed.insert(
                        (*id).to_owned(),
                        Some(line(profile, Layer::Shipped, SHIPPED.to_owned())),
                    );
                }
                (None, Err(found)) => problems.extend(found),
            }
        }
        (listed.into_values().flatten().collect(), problems)
    }

    /// Reads the profile file at `path`, relative to `working_dir`.
    ///
    /// # Errors
    /// Every problem of the file; also when it cannot be read at all.
    pub fn check(&self, path: &Path, working_dir: &Path) -> Result<Profile, Vec<Diagnostic>> {
        let shown = path.display().to_string();
        match file::read(&working_dir.join(path)) {
            Ok(Some(bytes)) => parse_profile(&shown, decode(&shown, &bytes)?),
            Ok(None) => Err(vec![unreadable(&shown, "there is no such file")]),
            Err(why) => Err(vec![unreadable(&shown, &why)]),
        }
    }

    fn read_path(&self, name: &str, working_dir: &Path) -> Result<Profile, UserError> {
        let path = working_dir.join(name);
        match file::read(&path) {
            Ok(Some(bytes)) => decode(name, &bytes)
                .and_then(|text| parse_profile(name, text))
                .map_err(|problems| invalid(name, &problems)),
            Ok(None) => Err(UserError::new(
                ErrorCode::NotFound,
                format!("there is no profile file `{}`", path.display()),
            )
            .hint("a name without `/` and without `.yaml` is looked up in the catalog; see `sandboxer profiles list`")),
            Err(why) => {
                let message = format!("the profile file `{}` cannot be read: {why}", path.display());
                Err(UserError::new(ErrorCode::InvalidProfile, message).hint("name a readable YAML file"))
            }
        }
    }
}

fn unknown(name: &str, shelves: &[Shelf]) -> UserError {
    let mut ids: Vec<String> = shipped::SHIPPED.iter().map(|(id, _)| (*id).to_owned()).collect();
    for shelf in shelves {
        let names = file::names(shelf).unwrap_or_default();
        ids.extend(
            names
                .iter()
                .filter_map(|name| name.strip_suffix(".yaml"))
                .map(str::to_owned),
        );
    }
    let shown: String = name.chars().take(80).filter(|c| !c.is_control()).collect();
    let near = nearest(name, ids.iter().map(String::as_str))
        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    UserError::new(ErrorCode::NotFound, format!("no profile is called `{shown}`{near}"))
        .hint("see them all with `sandboxer profiles list`")
}

fn is_path(name: &str) -> bool {
    name.contains('/') || is_document(name)
}

fn is_document(name: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending))
}

fn unreadable(path: &str, why: &str) -> Diagnostic {
    Diagnostic::new(
        path,
        "",
        Place::default(),
        "",
        format!("this profile cannot be used: {why}"),
    )
}

/// The profile `file_name` of a shelf; `None` when it is not there.
fn read_shelf(shelf: &Shelf, file_name: &str, working_dir: &Path) -> Option<Result<Profile, Vec<Diagnostic>>> {
    let source = shelf.dir.join(file_name).display().to_string();
    let bytes = match file::read_on(shelf, file_name, working_dir) {
        Ok(bytes) => bytes?,
        Err(why) => return Some(Err(vec![unreadable(&source, &why)])),
    };
    let parsed = decode(&source, &bytes).and_then(|text| {
        let profile = parse_profile(&source, text)?;
        // The id is a name others rely on; a file under another name would be found as what it is not.
        if file_name.strip_suffix(".yaml") != Some(&profile.id) {
            let message = format!("the id is `{}`, but the file is called `{file_name}`", profile.id);
            return Err(vec![
                locate(&source, text, "id", message).with_help(format!("rename it to `{}.yaml`", profile.id)),
            ]);
        }
        // Trust is the operator's to give; a repository that could give it to itself would need no walls.
        if shelf.layer == Layer::Repository && profile.trust == Trust::Full {
            let message = "a profile that comes with a repository cannot ask for `trust: full`";
            let help = "move it to your own profiles, or name the file with `--profile`";
            return Err(vec![locate(&source, text, "trust", message).with_help(help)]);
        }
        Ok(profile)
    });
    Some(parsed)
}

/// A problem of the top-level key `key`.
fn locate(source: &str, text: &str, key: &str, message: impl Into<String>) -> Diagnostic {
    let place = sandboxer_model::document::parse(source, text)
        .map(|tree| tree.locate(&[key]))
        .unwrap_or_default();
    Diagnostic::new(source, text, place, key, message)
}

fn line(profile: Profile, layer: Layer, source: String) -> Listed {
    let description = profile.description.lines().next().unwrap_or_default().to_owned();
    Listed {
        id: profile.id,
        version: profile.version,
        description,
        extension: profile.extension,
        layer,
        source,
        shadowed: Vec::new(),
    }
}
