//! What the server counts, for Prometheus.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The upper bounds of the buckets, in seconds.
const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    operation: String,
    status: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOperation {
    operation: String,
}

/// Counters and gauges of one server.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<OfRequest, Counter>,
    duration: Family<OfOperation, Histogram>,
    /// Connections that are open.
    pub(crate) connections: Gauge,
    /// Connections that were turned away because there were too many.
    pub(crate) turned_away: Counter,
    /// Event streams and WebSockets that are open.
    pub(crate) streams: Gauge,
    /// Accepted operations that are being carried out by this server.
    pub(crate) in_flight: Gauge,
    by_state: Family<OfState, Gauge<i64>>,
    rss: Gauge<u64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: String,
}

impl Metrics {
    /// All at nothing.
    pub(crate) fn new() -> Metrics {
        let mut registry = Registry::with_prefix("sandboxer");
        let requests = Family::default();
        let duration: Family<OfOperation, Histogram> = Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let connections = Gauge::default();
        let turned_away = Counter::default();
        let streams = Gauge::default();
        let in_flight = Gauge::default();
        let by_state = Family::default();
        let rss = Gauge::default();
        registry.register("http_requests", "Requests that were answered", requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time to the head of an answer",
            duration.clone(),
        );
        registry.register("http_connections", "Connections that are open", connections.clone());
        registry.register(
            "http_connections_turned_away",
            "Connections over the limit",
            turned_away.clone(),
        );
        registry.register(
            "http_streams",
            "Event streams and WebSockets that are open",
            streams.clone(),
        );
        registry.register(
            "operations_in_flight",
            "Accepted operations under way here",
            in_flight.clone(),
        );
        registry.register("sandboxes", "Sandboxes on record, by state", by_state.clone());
        registry.register("process_resident_memory_bytes", "Memory of the server", rss.clone());
        Metrics {
            registry,
            requests,
            duration,
            connections,
            turned_away,
            streams,
            in_flight,
            by_state,
            rss,
        }
    }

    /// A request was answered.
    pub(crate) fn answered(&self, operation: &str, status: u16, took: Duration) {
        let operation = operation.to_owned();
        self.requests
            .get_or_create(&OfRequest {
                operation: operation.clone(),
                status: u32::from(status),
            })
            .inc();
        self.duration
            .get_or_create(&OfOperation { operation })
            .observe(took.as_secs_f64());
    }

    /// All of it as text.
    pub(crate) fn text(&self, sandboxes: &BTreeMap<String, u64>) -> String {
        for (state, count) in sandboxes {
            self.by_state
                .get_or_create(&OfState { state: state.clone() })
                .set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        self.rss.set(resident());
        let mut text = String::new();
        // It writes to a string, which cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Memory of this process, in bytes; 0 where that cannot be told.
fn resident() -> u64 {
    let mut text = String::new();
    let read = File::open("/proc/self/statm").and_then(|file| file.take(256).read_to_string(&mut text));
    let pages = read.ok().and_then(|_| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
