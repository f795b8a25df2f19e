//! What all calls of one server share.

use std::sync::Arc;

use sandboxer_engine::{Cancel, Engine};
use sandboxer_extension::port::{Clock, IdSource};
use tokio::sync::Notify;

use crate::driver::Driver;
use crate::follow::hub::Hub;
use crate::limit::Limits;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::session::attached::Room;
use crate::turns::Turns;
use crate::upload::receive::Receiver;

/// The server, as its routes see it.
pub(crate) struct State {
    /// Lives as long as the process.
    pub(crate) engine: &'static Engine,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) limits: Limits,
    /// Requests that read much.
    pub(crate) readers: Arc<Turns>,
    /// Requests that wait.
    pub(crate) waits: Arc<Turns>,
    pub(crate) metrics: Metrics,
    /// Set when the server is to stop.
    pub(crate) stop: Cancel,
    /// Told whenever a call changed something.
    pub(crate) changed: Arc<Notify>,
    pub(crate) driver: Driver,
    /// Tells who follows events.
    pub(crate) hub: Hub,
    /// Those who are attached to commands.
    pub(crate) attached: Room,
    /// Takes uploads in, and finds them.
    pub(crate) uploads: Receiver,
    /// Whether metrics are shown to anybody.
    pub(crate) metrics_are: MetricsAre,
    /// The API document, as it is sent.
    pub(crate) document: &'static str,
    /// The page that shows it.
    pub(crate) docs: &'static str,
}

/// Who sees the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsAre {
    /// Who has a key that may read about the server.
    Keyed,
    /// Anybody who reaches the server.
    Open,
}
