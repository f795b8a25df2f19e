//! Clients that each want one sandbox, and ask with the same key until they have it; what is on record and what is on the
//! machine afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::{Ask, HOME, Line, Reply, send};
use crate::server::Server;
use crate::support::World;

/// From one try to the next, where the server is not known to have come back.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a client goes on trying.
const PATIENCE: Duration = Duration::from_secs(60);
/// Sandboxes that are removed at once.
const REMOVERS: usize = 32;

/// What a crowd has come to.
#[derive(Default)]
pub(crate) struct Tally {
    /// Requests that were sent for the first time.
    pub(crate) asked: AtomicUsize,
    /// Clients that have their answer.
    pub(crate) answered: AtomicUsize,
    /// Requests that were sent again.
    pub(crate) again: AtomicUsize,
    /// Answers that said the server stops.
    pub(crate) draining: AtomicUsize,
    /// First requests that got no answer.
    pub(crate) cut: AtomicUsize,
}

/// Clients at work.
pub(crate) struct Crowd {
    address: watch::Sender<SocketAddr>,
    pub(crate) tally: Arc<Tally>,
    clients: JoinSet<(String, String)>,
}

impl Crowd {
    /// So many clients of one caller; every fourth does not wait for what it asked for.
    pub(crate) fn start(server: &Server, token: &str, name: &str, many: usize) -> Crowd {
        let (address, seen) = watch::channel(server.address);
        let tally = Arc::new(Tally::default());
        let mut clients = JoinSet::new();
        for number in 0..many {
            let client = Client {
                key: format!("{name}-{number}"),
                token: token.to_owned(),
                path: match number % 4 {
                    0 => "/v1/sandboxes",
                    _ => "/v1/sandboxes?wait=ready&timeout=50s",
                },
                address: seen.clone(),
                tally: Arc::clone(&tally),
            };
            clients.spawn(client.gets_one());
        }
        Crowd {
            address,
            tally,
            clients,
        }
    }

    /// Tells the clients where the server is now.
    pub(crate) fn moved_to(&self, server: &Server) {
        self.address.send_replace(server.address);
    }

    /// The sandbox of each key, once all have one.
    pub(crate) async fn all(mut self) -> BTreeMap<String, String> {
        let mut of_keys = BTreeMap::new();
        while let Some(client) = self.clients.join_next().await {
            of_keys.extend([client.unwrap()]);
        }
        of_keys
    }
}

struct Client {
    key: String,
    token: String,
    path: &'static str,
    address: watch::Receiver<SocketAddr>,
    tally: Arc<Tally>,
}

impl Client {
    /// Its key, and the sandbox it got.
    async fn gets_one(mut self) -> (String, String) {
        let ask = Ask::new("POST", self.path)
            .key(&self.token)
            .header("idempotency-key", &self.key)
            .json(&json!({ "profile": "profile.native", "labels": { "key": self.key } }));
        let trying = async {
            let mut is_first = true;
            loop {
                if let Some(id) = self.one_try(&ask, &mut is_first).await {
                    return id;
                }
                let _ = tokio::time::timeout(PAUSE, self.address.changed()).await;
            }
        };
        let Ok(id) = tokio::time::timeout(PATIENCE, trying).await else {
            panic!("{} got no sandbox in {PATIENCE:?}", self.key);
        };
        self.tally.answered.fetch_add(1, Ordering::Relaxed);
        (self.key, id)
    }

    async fn one_try(&mut self, ask: &Ask, is_first: &mut bool) -> Option<String> {
        let to = *self.address.borrow_and_update();
        let mut line = Line::open(to, HOME).await.ok()?;
        line.write(&ask.wire()).await.ok()?;
        let was_first = std::mem::take(is_first);
        let tally = if was_first {
            &self.tally.asked
        } else {
            &self.tally.again
        };
        tally.fetch_add(1, Ordering::Relaxed);
        match line.read().await {
            Ok(reply) => self.id_of(&reply),
            Err(_) => {
                self.tally.cut.fetch_add(usize::from(was_first), Ordering::Relaxed);
                None
            }
        }
    }

    /// Nothing: it is to be asked for again.
    fn id_of(&self, reply: &Reply) -> Option<String> {
        match (reply.status, reply.code().as_str()) {
            (200..=202, _) => reply.json()["sandbox_id"].as_str().map(str::to_owned),
            (503, "draining") => {
                self.tally.draining.fetch_add(1, Ordering::Relaxed);
                None
            }
            (409, "busy") | (408, "timeout") => None,
            _ => panic!("{}: {}{}", self.key, reply.head, reply.text()),
        }
    }
}

/// Every sandbox that a caller sees, in pages.
pub(crate) async fn listed(server: &Server, token: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/sandboxes?all=true&limit=200{cursor}");
        let page = server.ask(&Ask::get(&path).key(token)).await.expect(200).json();
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Removes all of them, each with proof.
pub(crate) async fn remove_all(server: &Server, token: &str, ids: impl IntoIterator<Item = String>) {
    let mut removers = JoinSet::new();
    for id in ids {
        if removers.len() == REMOVERS {
            removers.join_next().await.unwrap().unwrap();
        }
        removers.spawn(remove(server.address, id, token.to_owned()));
    }
    while let Some(one) = removers.join_next().await {
        one.unwrap();
    }
}

async fn remove(to: SocketAddr, id: String, token: String) {
    let ask = Ask::new("DELETE", &format!("/v1/sandboxes/{id}")).key(&token);
    let receipt = send(to, &ask).await.unwrap().expect(200).json();
    assert_eq!(receipt["state"], "destroyed", "{receipt}");
    assert_eq!(receipt["cleanup"]["verified"], "absent", "{receipt}");
}

/// Looks until something is so, and leaves the machine to others in between.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let looking = async {
        while !is_so() {
            ticks.tick().await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, looking).await.is_ok(),
        "{what}: not in {PATIENCE:?}"
    );
}

/// The numbers that only the database tells.
pub(crate) fn count(world: &World, query: &str) -> usize {
    let database = rusqlite::Connection::open(database(world)).unwrap();
    database.busy_timeout(PAUSE * 10).unwrap();
    let number: i64 = database.query_row(query, [], |row| row.get(0)).unwrap();
    usize::try_from(number).unwrap()
}

/// The file of the database.
pub(crate) fn database(world: &World) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(&world.data)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    files
        .find(|path| path.extension().is_some_and(|end| end == "db"))
        .unwrap()
}

/// Sandboxes that are really on the machine, by their first processes that live.
pub(crate) fn on_the_machine(world: &World) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for home in std::fs::read_dir(world.data.join("native/sb"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let state = std::fs::read(home.path().join("state.json")).unwrap_or_default();
        let state: Value = serde_json::from_slice(&state).unwrap_or_default();
        let pid = state["init"]["pid"].as_i64().unwrap_or(0);
        assert!(is_alive(pid), "{} is left, and no process of it", home.path().display());
        found.insert(home.file_name().to_string_lossy().into_owned());
    }
    found
}

/// Whether a process lives: one that has ended and that nobody has asked after does not. An ordinary user sees this much of a
/// process in a namespace.
pub(crate) fn is_alive(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}
