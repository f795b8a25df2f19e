//! A server, from its addresses to its end.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sandboxer_engine::{Cancel, Engine};
use sandboxer_extension::port::{Clock, IdSource};
use sandboxer_model::error::UserError;
use tokio::sync::Notify;

use crate::connection::{self, Door, Forwarded};
use crate::descriptors;
use crate::driver::Driver;
use crate::follow::hub::Hub;
use crate::guests::{Guests, Room};
use crate::limit::Limits;
use crate::listen::{Listen, Protection, refuse_open};
use crate::log::{Level, Log};
use crate::metrics::Metrics;
use crate::session::attached;
use crate::state::{MetricsAre, State};
use crate::turns::Turns;
use crate::upload::keep::Keep;
use crate::upload::receive::Receiver;
use crate::upload::sweep;
use crate::{docs, openapi, router, routes, socket, tls};

/// How long what is under way may take once the server was told to stop.
const DRAIN: Duration = Duration::from_secs(25);

/// What an operator can set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; each must be free.
    pub listen: Vec<Listen>,
    /// Where to listen too, if nobody else does: the socket of the data directory.
    pub listen_if_free: Option<Listen>,
    /// What protects what is sent over TCP.
    pub protection: Protection,
    /// Requests a second for each key; twice as many at once.
    pub requests_per_second: NonZeroU32,
    /// Connections at most; half of them from one address.
    pub connections: usize,
    /// Who sees the metrics.
    pub metrics: MetricsAre,
    /// Where uploads are kept.
    pub data_dir: PathBuf,
}

/// What a server works with.
pub struct Parts {
    /// The engine; lives as long as the process.
    pub engine: &'static Engine,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn IdSource>,
    /// Where lines go.
    pub log: Arc<dyn Log>,
    /// Set when the server is to stop.
    pub stop: Cancel,
    /// Told whenever something was changed, here or by somebody else.
    pub changed: Arc<Notify>,
}

/// A server that has its addresses and serves nobody yet.
pub struct Server {
    state: Arc<State>,
    doors: Vec<Door>,
    addresses: Vec<String>,
    room: Room,
}

impl Server {
    /// Takes the addresses.
    ///
    /// # Errors
    /// `InvalidInput` for an address that others can reach without protection and for certificates that cannot be used,
    /// `Busy`, `Unavailable`.
    pub async fn bind(config: Config, parts: Parts) -> Result<Server, UserError> {
        refuse_open(&config.listen, &config.protection)?;
        let acceptor = match &config.protection {
            Protection::Tls { certificates, key } => Some(tls::acceptor(certificates, key)?),
            Protection::None | Protection::Proxy => None,
        };
        let forwarded = match config.protection {
            Protection::Proxy => Forwarded::Believed,
            Protection::None | Protection::Tls { .. } => Forwarded::Ignored,
        };
        let (mut doors, mut addresses) = (Vec::new(), Vec::new());
        for listen in &config.listen {
            let (socket, address) = socket::take(listen).await?;
            let scheme = match (listen, &acceptor) {
                (Listen::Unix(_), _) => "",
                (Listen::Tcp(_), Some(_)) => "https://",
                (Listen::Tcp(_), None) => "http://",
            };
            addresses.push(format!("{scheme}{address}"));
            doors.push(Door {
                socket,
                tls: acceptor.clone(),
                forwarded,
            });
        }
        if let Some(listen) = &config.listen_if_free
            && let Ok((socket, address)) = socket::take(listen).await
        {
            addresses.push(address);
            doors.push(Door {
                socket,
                tls: None,
                forwarded,
            });
        }
        let table = routes::all();
        let hub = Hub::new(parts.engine, Arc::clone(&parts.clock), Arc::clone(&parts.changed));
        let keep = Keep::new(&config.data_dir);
        let uploads = Receiver::new(keep, Arc::clone(&parts.clock), Arc::clone(&parts.ids));
        let state = Arc::new(State {
            engine: parts.engine,
            clock: parts.clock,
            ids: parts.ids,
            log: parts.log,
            limits: Limits::new(config.requests_per_second),
            readers: Turns::of_readers(),
            waits: Turns::of_waits(),
            metrics: Metrics::new(),
            stop: parts.stop,
            driver: Driver::new(parts.engine, Arc::clone(&parts.changed)),
            changed: parts.changed,
            hub,
            attached: attached::Room::default(),
            uploads,
            metrics_are: config.metrics,
            document: String::leak(openapi::text(&table)),
            docs: String::leak(docs::page(&table)),
        });
        let most = descriptors::make_room(config.connections, std::io::stderr());
        if most < config.connections {
            let figures = [("wanted", config.connections), ("room", most)].map(|(name, n)| (name, n.to_string()));
            let words: Vec<(&str, &str)> = figures.iter().map(|(name, n)| (*name, n.as_str())).collect();
            state
                .log
                .line(Level::Warn, "too few files may be open for so many connections", &words);
        }
        Ok(Server {
            state,
            doors,
            addresses,
            room: Room {
                most,
                most_of_one: most.div_ceil(2),
            },
        })
    }

    /// Where it listens, as clients write it.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Serves until it is told to stop, then finishes what is under way, for a while.
    pub async fn run(self) {
        let router = router::router(&self.state);
        let guests = Guests::new(self.room);
        let mut doors = tokio::task::JoinSet::new();
        for door in self.doors {
            let (router, state) = (router.clone(), Arc::clone(&self.state));
            doors.spawn(connection::accept(door, router, state, Arc::clone(&guests)));
        }
        let mut house = tokio::task::JoinSet::new();
        let state = Arc::clone(&self.state);
        house.spawn(async move { state.hub.run(&state.stop).await });
        house.spawn(sweep::keep_swept(Arc::clone(&self.state)));
        while doors.join_next().await.is_some() {}
        let finished = async {
            self.state.driver.drain().await;
            guests.leave().await;
        };
        tokio::select! {
            () = finished => {}
            () = self.state.clock.sleep(DRAIN) => {}
        }
    }
}
