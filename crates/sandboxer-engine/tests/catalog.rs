//! The catalog: layers, shipped profiles, hostile repositories, inputs, manifests.

#![expect(clippy::disallowed_methods, reason = "lays out the files it looks for")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail loudly in its helpers"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sandboxer_engine::catalog::{Catalog, Layer, Layers, inputs, manifest};
use sandboxer_model::document::parse_profile;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::profile::{InputKind, InputSpec, Profile};
use tempfile::TempDir;

/// A machine with a system layer, a user layer, and a repository to work in.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> World {
        let world = World {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir_all(world.path("repo/.git")).unwrap();
        std::fs::create_dir_all(world.path("repo/deep/er")).unwrap();
        world
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(relative)
    }

    fn put(&self, relative: &str, text: &str) -> &World {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn catalog(&self) -> Catalog {
        Catalog::new(Layers {
            system: Some(self.path("etc")),
            user: Some(self.path("user")),
        })
    }

    /// The error of resolving `name` in the repository, without the parts that differ from run to run.
    fn refused(&self, name: &str) -> String {
        let error = self.catalog().resolve(name, &self.path("repo")).expect_err(name);
        self.shown(&error)
    }

    fn shown(&self, error: &UserError) -> String {
        let text = format!(
            "{}: {}\nhint: {}",
            error.code,
            error.message,
            error.hints.join("\nhint: ")
        );
        text.replace(&self.path("").display().to_string(), "/")
    }
}

fn profile(id: &str, more: &str) -> String {
    format!("id: {id}\nextension: ext.native\n{more}\n")
}

#[test]
fn the_shipped_table_is_the_directory() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
    let mut names: Vec<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let (listed, problems) = Catalog::default().list(Path::new("/nowhere"));
    assert_eq!(problems, vec![]);
    let mut ids: Vec<String> = listed.iter().map(|line| format!("{}.yaml", line.id)).collect();
    ids.sort();
    assert_eq!(ids, names);
    for name in names {
        let text = std::fs::read_to_string(dir.join(&name)).unwrap();
        // Shipped profiles are not checked at run time, so this is where they are.
        let profile = parse_profile(&name, &text).unwrap_or_else(|problems| panic!("{}", problems[0]));
        assert_eq!(format!("{}.yaml", profile.id), name);
        assert!(profile.description.len() > 20, "{name}: a stranger must understand it");
        let resolved = Catalog::default().resolve(&profile.id, Path::new("/nowhere")).unwrap();
        assert_eq!((resolved.profile, resolved.source.as_str()), (profile, "shipped"));
    }
}

#[test]
fn shipped_ids_are_a_contract() {
    for slug in [
        "compose-e2e",
        "compose-checkpoint",
        "sandbox-canary",
        "vm-haskell-build",
        "vm-packer-build",
        "saas-stub",
        "burst-sandbox",
        "e2b-burst",
        "modal-gpu",
        "agent-dev",
        "build",
        "native",
        "native-strict",
    ] {
        let id = format!("profile.{slug}");
        assert!(Catalog::default().resolve(&id, Path::new("/")).is_ok(), "{id}");
    }
}

#[test]
fn the_nearest_layer_wins_and_says_what_it_hides() {
    let world = World::new();
    let catalog = world.catalog();
    let (top, deep) = (world.path("repo"), world.path("repo/deep/er"));
    let version = |from: &Path| {
        let resolved = catalog.resolve("profile.native", from).unwrap();
        (resolved.profile.version, resolved.overrides.len())
    };
    assert_eq!(version(&deep), ("1.0.0".to_owned(), 0));
    for (overrides, layer) in [
        "etc",
        "user",
        "repo/.sandboxer/profiles",
        "repo/deep/.sandboxer/profiles",
    ]
    .iter()
    .enumerate()
    {
        let wanted = format!("2.0.{overrides}");
        world.put(
            &format!("{layer}/profile.native.yaml"),
            &profile("profile.native", &format!("version: {wanted}")),
        );
        assert_eq!(version(&deep), (wanted, overrides + 1));
    }
    assert_eq!(version(&top), ("2.0.2".to_owned(), 3));
    // Outside of the repository its profiles do not speak.
    assert_eq!(version(&world.path("")), ("2.0.1".to_owned(), 2));

    let (listed, problems) = catalog.list(&deep);
    assert_eq!(problems, vec![]);
    let line = listed.iter().find(|line| line.id == "profile.native").unwrap();
    assert_eq!(
        (line.layer, line.version.as_str(), line.shadowed.len()),
        (Layer::Repository, "2.0.3", 4)
    );
    assert_eq!(line.shadowed.last().map(String::as_str), Some("shipped"));
}

#[test]
fn without_a_repository_only_the_directory_itself_speaks() {
    let world = World::new();
    world.put(
        "plain/.sandboxer/profiles/profile.mine.yaml",
        &profile("profile.mine", ""),
    );
    std::fs::create_dir_all(world.path("plain/below")).unwrap();
    assert!(world.catalog().resolve("profile.mine", &world.path("plain")).is_ok());
    assert!(
        world
            .catalog()
            .resolve("profile.mine", &world.path("plain/below"))
            .is_err()
    );
}

#[test]
fn a_broken_file_hides_no_other_profile() {
    let world = World::new();
    world
        .put("user/profile.good.yaml", &profile("profile.good", ""))
        .put("user/profile.bad.yaml", &profile("profile.bad", "isolaton: {}"))
        .put("user/profile.native.yaml", "id: [")
        .put("user/notes.txt", "not a profile")
        .put("user/other.yaml", &profile("profile.other", ""));
    std::fs::create_dir_all(world.path("user/profile.dir.yaml")).unwrap();
    let (listed, problems) = world.catalog().list(&world.path("repo"));
    let ids: Vec<&str> = listed.iter().map(|line| line.id.as_str()).collect();
    assert!(ids.contains(&"profile.good") && ids.contains(&"profile.sandbox-canary"));
    // It would be dishonest to show the shipped one: resolving the name is an error.
    assert!(!ids.contains(&"profile.bad") && !ids.contains(&"profile.native"));
    let files: Vec<String> = problems
        .iter()
        .map(|problem| problem.file.rsplit('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        files,
        [
            "other.yaml",
            "profile.bad.yaml",
            "profile.dir.yaml",
            "profile.native.yaml"
        ]
    );
    insta::assert_snapshot!(world.refused("profile.native"));
    insta::assert_snapshot!(world.refused("profile.bad"));
}

#[test]
fn names_that_are_not_there_get_the_nearest() {
    let world = World::new();
    world.put("user/profile.mine.yaml", &profile("profile.mine", ""));
    let shown: Vec<String> = [
        "profile.natve",
        "native",
        "profile.min",
        "nothing-like-it",
        "",
        "profile.../x",
        "./nope.yaml",
        "nope.yml",
        "/",
    ]
    .iter()
    .map(|name| world.refused(name))
    .collect();
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn a_file_is_read_as_named() {
    let world = World::new();
    world
        .put("repo/p.yaml", &profile("profile.anything", "trust: full"))
        .put("repo/bad.yaml", "id: profile.x\nttl: 4\n");
    let resolved = world.catalog().resolve("./p.yaml", &world.path("repo")).unwrap();
    assert_eq!(
        (resolved.profile.id.as_str(), resolved.source.as_str()),
        ("profile.anything", "./p.yaml")
    );
    assert!(world.catalog().resolve("../p.yaml", &world.path("repo/deep")).is_ok());
    assert!(world.catalog().check(Path::new("p.yaml"), &world.path("repo")).is_ok());
    assert_eq!(
        world
            .catalog()
            .check(Path::new("none.yaml"), &world.path("repo"))
            .unwrap_err()
            .len(),
        1
    );
    assert_eq!(
        world
            .catalog()
            .check(Path::new("bad.yaml"), &world.path("repo"))
            .unwrap_err()
            .len(),
        2
    );
    insta::assert_snapshot!(world.refused("bad.yaml"));
}

#[test]
fn a_hostile_repository_gets_nowhere() {
    let world = World::new();
    let shelf = "repo/.sandboxer/profiles";
    world
        .put("secret.yaml", &profile("profile.out", ""))
        .put(
            &format!("{shelf}/profile.trust.yaml"),
            &profile("profile.trust", "trust: full"),
        )
        .put(&format!("{shelf}/profile.lies.yaml"), &profile("profile.native", ""))
        .put(&format!("{shelf}/profile.big.yaml"), &"#".repeat(300 * 1024))
        .put(&format!("{shelf}/profile.binary.yaml"), "id: \u{0}");
    symlink(
        world.path("secret.yaml"),
        world.path(&format!("{shelf}/profile.out.yaml")),
    )
    .unwrap();
    symlink("../../../secret.yaml", world.path(&format!("{shelf}/profile.up.yaml"))).unwrap();
    symlink("/proc/self/environ", world.path(&format!("{shelf}/profile.magic.yaml"))).unwrap();
    symlink("profile.loop.yaml", world.path(&format!("{shelf}/profile.loop.yaml"))).unwrap();
    symlink("nowhere", world.path(&format!("{shelf}/profile.dangling.yaml"))).unwrap();
    let fifo = world.path(&format!("{shelf}/profile.fifo.yaml"));
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let names = [
        "trust", "lies", "big", "binary", "out", "up", "magic", "loop", "dangling", "fifo",
    ];
    let shown: Vec<String> = names
        .iter()
        .map(|name| world.refused(&format!("profile.{name}")))
        .collect();
    insta::assert_snapshot!(shown.join("\n\n"));
    let (listed, problems) = world.catalog().list(&world.path("repo"));
    assert!(listed.iter().all(|line| line.layer == Layer::Shipped));
    assert_eq!(problems.len(), names.len(), "{problems:#?}");

    // The directory itself may be a link as well.
    let other = World::new();
    std::fs::create_dir_all(other.path("outside")).unwrap();
    other.put("outside/profile.out.yaml", &profile("profile.out", ""));
    std::fs::create_dir_all(other.path("repo/.sandboxer")).unwrap();
    symlink(other.path("outside"), other.path("repo/.sandboxer/profiles")).unwrap();
    assert!(other.refused("profile.out").contains("leads out of the repository"));
}

#[test]
fn a_stranger_cannot_plant_a_profile() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a_stranger_cannot_plant_a_profile: only root can make files of another user");
        return;
    }
    let world = World::new();
    world.put(
        "repo/.sandboxer/profiles/profile.mine.yaml",
        &profile("profile.mine", ""),
    );
    let path = world.path("repo/.sandboxer/profiles/profile.mine.yaml");
    assert!(world.catalog().resolve("profile.mine", &world.path("repo")).is_ok());
    std::os::unix::fs::chown(&path, Some(54_321), None).unwrap();
    assert!(world.refused("profile.mine").contains("another user (uid 54321)"));
    // Root working in somebody's repository is a usual thing.
    std::os::unix::fs::chown(world.path("repo"), Some(54_321), None).unwrap();
    assert!(world.catalog().resolve("profile.mine", &world.path("repo")).is_ok());
}

#[test]
fn inputs_are_checked_and_completed() {
    let world = World::new();
    world.put("repo/file", "x");
    let spec = |kind, required, default: Option<&str>| InputSpec {
        kind,
        required,
        description: "What it is for.".to_owned(),
        default: default.map(str::to_owned),
    };
    let mut profile = Profile::new("profile.x", "ext.native");
    profile.inputs = BTreeMap::from([
        ("repo".to_owned(), spec(InputKind::Directory, true, None)),
        ("port".to_owned(), spec(InputKind::Port, false, Some("80"))),
        ("count".to_owned(), spec(InputKind::Integer, false, None)),
        ("fast".to_owned(), spec(InputKind::Boolean, false, None)),
        ("text".to_owned(), spec(InputKind::String, false, None)),
    ]);
    let validate = |given: &[(&str, &str)]| {
        let given = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        inputs::validate(&profile, &given, &world.path("repo"))
    };
    let good = validate(&[
        ("repo", "deep/../deep/er/.."),
        ("count", "-4"),
        ("fast", "true"),
        ("text", ""),
    ])
    .unwrap();
    assert_eq!(good["repo"], world.path("repo/deep").display().to_string());
    assert_eq!(good["port"], "80");
    assert_eq!(good.len(), 5);
    assert_eq!(
        validate(&[("repo", &world.path("repo").display().to_string())])
            .unwrap()
            .len(),
        2
    );

    let long = "x".repeat(65_537);
    let wrong: &[&[(&str, &str)]] = &[
        &[],
        &[("rep", ".")],
        &[("repo", "."), ("zebra", "1")],
        &[("repo", "")],
        &[("repo", "nowhere")],
        &[("repo", "/nowhere/at/all")],
        &[("repo", "~/x")],
        &[("repo", "file")],
        &[("repo", "a\0b")],
        &[("repo", "."), ("port", "0")],
        &[("repo", "."), ("port", "65536")],
        &[("repo", "."), ("port", "+80")],
        &[("repo", "."), ("count", "1.5")],
        &[("repo", "."), ("count", "99999999999999999999")],
        &[("repo", "."), ("fast", "yes")],
        &[("repo", "."), ("text", &long)],
        &[("repo", "."), ("text", "a\0b")],
    ];
    let shown: Vec<String> = wrong
        .iter()
        .map(|given| {
            let error = validate(given).expect_err(&format!("{given:?}"));
            assert_eq!(error.code, ErrorCode::InvalidInput);
            world.shown(&error)
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn a_manifest_says_what_it_can_do_and_what_it_costs() {
    let good =
        "id: ext.x\ntitle: X\ncapabilities: {isolation_levels: [container], pricing_model: self-hosted, exec: true}\n";
    let manifest = manifest::parse("ext.x.yaml", good).unwrap();
    assert!(manifest.capabilities.exec && !manifest.capabilities.snapshot);
    let wrong = [
        "id: ext.x\ntitle: X\ncapabilities: {pricing_model: self-hosted}\n",
        "id: ext.x\ntitle: X\ncapabilities: {isolation_levels: [container]}\n",
        "id: ext.x\ntitle: X\ncapabilities: {isolation_levels: [], pricing_model: free}\n",
        "id: ext.x\ntitle: X\ncapabilities: {isolation_levels: [], pricing_model: saas-metered}\n",
        "id: ext.x\ntitle: X\ncapabilities: {isolation_levels: [vm], pricing_model: self-hosted, exek: true}\n",
        "id: X\ntitle: \"\"\ncapabilities: {isolation_levels: [container, container], pricing_model: self-hosted}\n",
        "id: ext.x\ntitle: X\n",
    ];
    let mut shown = String::new();
    for text in wrong {
        for problem in manifest::parse("ext.x.yaml", text).expect_err(text) {
            shown.push_str(&format!("{problem}\n"));
        }
        shown.push('\n');
    }
    insta::assert_snapshot!(shown);
}
