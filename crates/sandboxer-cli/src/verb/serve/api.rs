//! The API of a server: the arguments as its configuration.

use std::sync::Arc;

use sandboxer_engine::{Cancel, Engine};
use sandboxer_extension::port::SystemIds;
use sandboxer_model::error::UserError;
use sandboxer_server::MetricsAre;
use sandboxer_server::listen::{Listen, Protection};
use sandboxer_server::serve::{Config, Parts, Server};
use tokio::sync::Notify;

use super::log::Log;
use crate::args::ServeArgs;
use crate::context::Context;

/// The socket of a data directory: who may use the directory may talk to its server.
pub(crate) const SOCKET: &str = "api.sock";

/// Takes the addresses.
///
/// # Errors
/// One is none, is open to others without protection, or is taken.
pub(super) async fn bind(
    context: &Context,
    args: &ServeArgs,
    engine: &'static Engine,
    log: &Arc<Log>,
    stop: &Cancel,
    changed: &Arc<Notify>,
) -> Result<Server, UserError> {
    let listen = args.listen.iter().map(|text| text.parse::<Listen>());
    let protection = match (&args.tls_cert, &args.tls_key) {
        (Some(certificates), Some(key)) => Protection::Tls {
            certificates: context.working_dir.join(certificates),
            key: context.working_dir.join(key),
        },
        _ if args.behind_proxy => Protection::Proxy,
        _ => Protection::None,
    };
    let config = Config {
        listen: listen.collect::<Result<_, _>>()?,
        listen_if_free: Some(Listen::Unix(context.data_dir.join(SOCKET))),
        protection,
        requests_per_second: args.requests_per_second,
        connections: args.connections as usize,
        metrics: if args.open_metrics {
            MetricsAre::Open
        } else {
            MetricsAre::Keyed
        },
        data_dir: context.data_dir.clone(),
    };
    let parts = Parts {
        engine,
        clock: Arc::clone(&context.clock),
        ids: Arc::new(SystemIds),
        log: Arc::clone(log) as Arc<dyn sandboxer_server::log::Log>,
        stop: stop.clone(),
        changed: Arc::clone(changed),
    };
    Server::bind(config, parts).await
}
