//! The server: the real one, over a store on disk and backends in memory that do nothing. Beside it, bare axum.

use std::io::Read as _;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use extension_native::NativeExtension;
use sandboxer_api::identity::{NewKey, SetProject};
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
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::Outcome;

/// The project of everything that is made.
const PROJECT: &str = "bench";

/// What the server says when it is there.
#[derive(Serialize, Deserialize)]
pub(crate) struct There {
    /// `host:port` of the API.
    pub(crate) api: String,
    /// `host:port` of bare axum.
    pub(crate) bare: String,
    /// A key of an automation.
    pub(crate) key: String,
    /// A key of an administrator.
    pub(crate) admin: String,
}

struct Mute;

impl Log for Mute {
    fn line(&self, _: Level, _: &str, _: &[(&str, &str)]) {}
}

/// What makes sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// One in memory that does nothing.
    Nothing,
    /// The native runtime.
    Native,
}

/// An engine over a store in this directory. It lives as long as the process.
pub(crate) async fn engine(folder: &Path, backend: Backend) -> Outcome<&'static Engine> {
    let mut registry = Registry::new();
    match backend {
        Backend::Nothing => {
            let world = World::new(Arc::new(TestClock::new()));
            registry.register(Arc::new(FakeExtension::new(world, capable("ext.native"))))?;
        }
        Backend::Native => {
            let data_dir = folder.to_owned();
            registry.register(NativeExtension::new(extension_native::Settings { data_dir }))?;
        }
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ports = Ports {
        clock: clock.clone(),
        ids: Arc::new(SystemIds),
        owners: Arc::new(TestOwners::new("server")),
        store: Store::open_shared(folder, clock, Arc::new(SystemIds)).await?,
        extensions: registry,
        outbound: None,
    };
    Ok(Box::leak(Box::new(Engine::new(
        ports,
        Catalog::default(),
        Settings::default(),
    ))))
}

/// Serves until its input ends.
pub(crate) async fn serve(folder: &Path, backend: Backend) -> Outcome {
    let engine = engine(folder, backend).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let many = 1_000_000;
    let limits = SetProject {
        max_live: Some(many),
        creates_per_second: Some(many),
        burst: Some(many),
    };
    engine.set_project(PROJECT, &limits).await?;
    let key = |role: Actor| {
        let new = NewKey {
            name: format!("bench-{}", role.name()),
            role,
            project: (role != Actor::Adm).then(|| PROJECT.to_owned()),
            grants: None,
            expires_in: None,
        };
        async move { engine.make_key(&new, None).await.map(|made| made.token) }
    };
    let stop = Cancel::new();
    let config = Config {
        listen: vec![Listen::Tcp("127.0.0.1:0".parse()?)],
        listen_if_free: None,
        protection: Protection::None,
        requests_per_second: NonZeroU32::new(many).ok_or("no limit")?,
        connections: 4096,
        metrics: MetricsAre::Keyed,
        data_dir: folder.to_owned(),
    };
    let parts = Parts {
        engine,
        clock,
        ids: Arc::new(SystemIds),
        log: Arc::new(Mute),
        stop: stop.clone(),
        changed: Arc::new(Notify::new()),
    };
    let server = Server::bind(config, parts).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let there = There {
        api: server
            .addresses()
            .first()
            .map_or("", |one| one.trim_start_matches("http://"))
            .to_owned(),
        bare: listener.local_addr()?.to_string(),
        key: key(Actor::Atm).await?,
        admin: key(Actor::Adm).await?,
    };
    // As much as one sandbox is in JSON.
    let body: &'static str = Box::leak("x".repeat(2048).into_boxed_str());
    let bare = Router::new().route("/", get(move || async move { body }));
    tokio::spawn(async move { axum::serve(listener, bare).await });
    let serving = tokio::spawn(server.run());
    println!("{}", serde_json::to_string(&there)?);
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    stop.cancel();
    serving.await?;
    Ok(())
}
