//! A server in this process, over a world of fake backends.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use sandboxer_api::identity::{Grant, NewKey};
use sandboxer_engine::catalog::Catalog;
use sandboxer_engine::{Cancel, Engine, Ports, Settings};
use sandboxer_extension::Registry;
use sandboxer_extension::port::{Clock, SystemClock, SystemIds};
use sandboxer_model::sandbox::Actor;
use sandboxer_server::MetricsAre;
use sandboxer_server::listen::{Listen, Protection};
use sandboxer_server::log::{Level, Log};
use sandboxer_server::serve::{Config, Parts, Server};
use sandboxer_store::Store;
use sandboxer_world::{FakeExtension, TestClock, TestOwners, World, capable};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::client::{Ask, Reply};

/// Says nothing.
struct Mute;

impl Log for Mute {
    fn line(&self, _: Level, _: &str, _: &[(&str, &str)]) {}
}

/// A server and its world.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) engine: &'static Engine,
    pub(crate) world: Arc<World>,
    pub(crate) adm: String,
    stop: Cancel,
    pub(crate) dir: tempfile::TempDir,
}

impl Running {
    /// With so many requests a second for each key that nobody notices.
    pub(crate) async fn start() -> Running {
        Running::limited(1_000_000).await
    }

    /// With so many requests a second for each key.
    pub(crate) async fn limited(requests_per_second: u32) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let world = World::new(Arc::new(TestClock::new()));
        let mut registry = Registry::new();
        let fake = FakeExtension::new(world.clone(), capable("ext.native"));
        registry.register(Arc::new(fake)).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Store::open_shared(dir.path(), clock.clone(), Arc::new(SystemIds))
            .await
            .unwrap();
        let ports = Ports {
            clock: clock.clone(),
            ids: Arc::new(SystemIds),
            owners: Arc::new(TestOwners::new("server")),
            store,
            extensions: registry,
            outbound: None,
        };
        let engine: &'static Engine = Box::leak(Box::new(Engine::new(ports, Catalog::default(), Settings::default())));
        let stop = Cancel::new();
        let config = Config {
            listen: vec![Listen::Tcp("127.0.0.1:0".parse().unwrap())],
            listen_if_free: None,
            protection: Protection::None,
            requests_per_second: NonZeroU32::new(requests_per_second).unwrap(),
            connections: 4096,
            metrics: MetricsAre::Keyed,
            data_dir: dir.path().to_owned(),
        };
        let parts = Parts {
            engine,
            clock,
            ids: Arc::new(SystemIds),
            log: Arc::new(Mute),
            stop: stop.clone(),
            changed: Arc::new(Notify::new()),
        };
        let server = Server::bind(config, parts).await.unwrap();
        let address = server.addresses()[0].strip_prefix("http://").unwrap().parse().unwrap();
        tokio::spawn(server.run());
        let mut running = Running {
            address,
            engine,
            world,
            adm: String::new(),
            stop,
            dir,
        };
        running.adm = running.key("root", Actor::Adm, None, None).await;
        running
    }

    /// A key; without grants: all that its role allows.
    pub(crate) async fn key(
        &self,
        name: &str,
        role: Actor,
        project: Option<&str>,
        grants: Option<Vec<Grant>>,
    ) -> String {
        let new = NewKey {
            name: name.to_owned(),
            role,
            project: project.map(str::to_owned),
            grants,
            expires_in: None,
        };
        self.engine.make_key(&new, None).await.unwrap().token
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(self.address, method, path)
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Reply {
        self.ask("GET", path).key(key).send().await
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: &Value) -> Reply {
        self.ask("POST", path).key(key).json(body).send().await
    }

    /// A sandbox that is ready.
    pub(crate) async fn make(&self, key: &str, body: Value) -> Value {
        let mut whole = json!({ "profile": "profile.native" });
        for (name, value) in body.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let reply = self.post(key, "/v1/sandboxes?wait=ready", &whole).await;
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
        reply.json()
    }

    /// Tells the server to stop.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The id of a sandbox.
pub(crate) fn id(sandbox: &Value) -> String {
    sandbox["sandbox_id"].as_str().unwrap().to_owned()
}
