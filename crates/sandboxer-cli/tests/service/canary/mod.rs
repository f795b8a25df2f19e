//! Secrets sent through every input there is, each with a name of its own; then everything that is kept or shown is searched for
//! them. What is given to be kept is found where it is kept, and nowhere else; the rest is found nowhere.

mod inputs;
mod marks;
mod search;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::http::{Ask, Reply, runtime};
use crate::load::{database, remove_all};
use crate::server::{FREE, Server, key};
use crate::support::World;
use inputs::{Given, Sent};
use marks::Marks;
use search::Watch;

/// What a test works with.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) server: Server,
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) adm: String,
    pub(super) agt: String,
    /// A sandbox of `agt`.
    pub(super) sandbox: String,
}

impl Scene {
    fn new() -> Scene {
        let world = World::new();
        let runtime = runtime();
        let (adm, agt) = (key(&world, "root", "adm", None), key(&world, "user", "agt", Some("p")));
        // Nothing answers there, which is all that is wanted of a webhook.
        let allowed = [("SANDBOXER_OUTBOUND_ALLOW", "127.0.0.1/32")];
        let server = Server::start_with(&world, &["--listen", "127.0.0.1:0", FREE[0], FREE[1]], &allowed);
        let scene = Scene {
            world,
            server,
            runtime,
            adm,
            agt,
            sandbox: String::new(),
        };
        let made = scene.ask(
            Ask::new("POST", "/v1/sandboxes?wait=ready")
                .key(&scene.agt)
                .json(&native(json!({}))),
        );
        let sandbox = id(&made.expect(201).json());
        Scene { sandbox, ..scene }
    }

    pub(super) fn ask(&self, ask: Ask) -> Reply {
        self.runtime.block_on(self.server.ask(&ask))
    }
}

/// A create of the native runtime with these members.
pub(super) fn native(members: Value) -> Value {
    let mut whole = json!({ "profile": "profile.native" });
    for (name, value) in members.as_object().unwrap() {
        whole[name] = value.clone();
    }
    whole
}

pub(super) fn id(sandbox: &Value) -> String {
    sandbox["sandbox_id"].as_str().unwrap().to_owned()
}

/// What a refusal repeats to the one who sent it, and to nobody else: names of things and members that do not exist, since a
/// refusal without them helps nobody. Values are never repeated.
fn is_a_name(mark: &str) -> bool {
    const NAMES: [&str; 24] = [
        "body `{\"*\"`",
        "body `{\"*\":`",
        "body `{\"*\": 1}`",
        "body `{\"consumer\": {\"*\": 1}}`",
        "body `{\"inputs\": {\"*\": \"a\"}}`",
        "body `{\"labels\": {\"*!\": \"a\"}}`",
        "body `{\"host\": \"*\"}`",
        "body `{\"profile\": \"*\"}`",
        "body `{\"profile\": \"profile.*\"}`",
        "body `{\"profile\": \"/*.yaml\"}`",
        "body of PATCH SANDBOX `{\"*\": 1}`",
        "body of PATCH SANDBOX `{\"labels\": {\"*!\": \"*\"}}`",
        "body of POST SANDBOX/exec `{\"*\": 1}`",
        "body of POST /v1/hosts `{\"name\": \"* *\"}`",
        "body of POST /v1/hosts `{\"name\": \"a\", \"address\": \"-o*\"}`",
        "body of POST /v1/webhooks `{\"url\": \"https://127.0.0.1/\", \"events\": [\"*\"]}`",
        "query `POST /v1/sandboxes?*`",
        "query `GET /healthz?*`",
        "query `GET /docs?*`",
        "query of a list `*=1`",
        "query of a sandbox `/files?*`",
        "query of a sandbox `/files/list?path=*`",
        "file `\"missing/*\"`",
        "message with a member too many",
    ];
    NAMES.contains(&mark)
}

/// What was found where it must not be.
#[derive(Default)]
struct Leaks(BTreeSet<String>);

impl Leaks {
    fn add(&mut self, mark: &str, place: &str) {
        self.0.insert(format!("{mark}: in {place}"));
    }
}

#[test]
fn what_is_sent_stays_where_it_was_sent_to() {
    let scene = Scene::new();
    let mut marks = Marks::new();
    let watch = Watch::begin(marks.prefix());
    let Sent {
        replies,
        given,
        tokens,
        made,
        without,
    } = inputs::send_all(&scene, &mut marks);
    let seen = watch.end();
    let mut leaks = Leaks::default();

    for (what, reply) in &replies {
        let told = [reply.head.as_bytes(), &reply.body].concat();
        // What was taken is shown to who gave it.
        if reply.status >= 400 {
            for mark in marks.found_in(&told).iter().filter(|mark| !is_a_name(mark)) {
                leaks.add(mark, &format!("the refusal of `{what}`: {}", reply.text()));
            }
        }
        assert_ne!(reply.status, 500, "{what}: {}", reply.text());
    }
    for place in &seen.outside {
        let mark = marks.name(&place.text);
        leaks.add(
            &mark,
            &format!("{} of process {} on the machine", place.file, place.process),
        );
    }
    let log = scene.server.says();
    for mark in marks
        .found_in(log.as_bytes())
        .into_iter()
        .filter(|mark| !given.allows(mark, "the log"))
    {
        let line = log
            .lines()
            .find(|line| marks.found_in(line.as_bytes()).contains(&mark))
            .unwrap_or_default();
        leaks.add(&mark, &format!("the log: {line}"));
    }
    for path in [
        format!("/v1/sandboxes/{}/events", scene.sandbox),
        "/v1/events".to_owned(),
        "/metrics".to_owned(),
        "/v1/audit".to_owned(),
    ] {
        let shown = scene.ask(Ask::get(&path).key(&scene.adm).header("accept", "application/json"));
        for mark in marks.found_in(&shown.body) {
            if !given.allows(&mark, &format!("GET {path}")) {
                leaks.add(&mark, &format!("GET {path}"));
            }
        }
    }
    let columns = search::columns(&database(&scene.world), &marks);
    for (mark, place) in &columns {
        if !given.allows(mark, place) {
            leaks.add(mark, place);
        }
    }
    // Whatever pages of the database are free, and whatever other files there are.
    for (file, bytes) in search::files(&scene.world) {
        for mark in marks.found_in(&bytes) {
            // A page of the database ends in the middle of something; the columns were looked at one by one.
            if !given.is_kept(&mark) && mark != marks::CUT {
                leaks.add(&mark, &file);
            }
        }
        for (token, secret) in &tokens {
            if search::holds(&bytes, secret.as_bytes()) {
                leaks.add(token, &file);
            }
        }
    }
    for (token, secret) in &tokens {
        if log.contains(secret) {
            leaks.add(token, "the log");
        }
    }
    // A search that finds nothing anywhere does not search.
    for (mark, places) in given.all() {
        let is_found = places
            .iter()
            .any(|place| columns.contains(&(mark.clone(), (*place).to_owned())));
        assert!(is_found, "`{mark}` was given to be kept and is in none of {places:?}");
    }
    if without.is_empty() {
        assert!(
            !seen.inside.is_empty(),
            "no process of a sandbox was seen with what it was given"
        );
    }
    eprintln!(
        "{} secrets in {} requests, {} given to be kept; {} looks at every process; not there yet: {without:?}",
        marks.len(),
        replies.len(),
        given.all().count(),
        seen.looks,
    );
    scene.runtime.block_on(remove_all(
        &scene.server,
        &scene.adm,
        made.into_iter().chain([scene.sandbox.clone()]),
    ));
    scene.server.stop();
    let leaks: Vec<&String> = leaks.0.iter().collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    drop(Given::default());
}
