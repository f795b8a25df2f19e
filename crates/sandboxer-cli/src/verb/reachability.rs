//! `reachability show`: how a sandbox is reached.

use std::path::PathBuf;

use sandboxer_host::tunnel;
use sandboxer_model::error::UserError;
use sandboxer_model::reachability::Reachability;

use crate::args::ReachabilityVerb;
use crate::context::{Context, Format};
use crate::env;
use crate::output::json;
use crate::output::table::Columns;

/// Says whether the tunnel answers at this moment. One that does not is somebody else's to bring up.
fn look_at_tunnel(context: &Context, reachability: &mut Reachability) {
    let from_env = env::TUNNEL_PORT.get().and_then(|port| port.to_str()?.parse().ok());
    let (port, status) = match (from_env, &reachability.tunnel_name) {
        (Some(port), _) => (port, tunnel::look(port)),
        (None, None) => return,
        (None, Some(name)) => {
            let home = || {
                env::HOME
                    .get()
                    .map(|home| PathBuf::from(home).join(".config/bridge/tunnels.yaml"))
            };
            let config = env::BRIDGE_CONFIG
                .get()
                .map(PathBuf::from)
                .or_else(home)
                .unwrap_or_default();
            match tunnel::find(&config, name) {
                Ok(tunnel) => (tunnel.port, tunnel.look()),
                Err(why) => {
                    context.note(&format!("the tunnel is not known: {why}"));
                    reachability.tunnel_status = Some(tunnel::Liveness::Unknown.word().to_owned());
                    return;
                }
            }
        }
    };
    reachability.tunnel = Some(format!("localhost:{port}"));
    reachability.tunnel_status = Some(status.word().to_owned());
}

/// Shows how a sandbox is reached.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn reachability(context: &Context, verb: ReachabilityVerb) -> Result<u8, UserError> {
    let ReachabilityVerb::Show(args) = verb;
    let reporter = context.reporter();
    let mut reachability = context.service(&reporter).await?.reachability(&args.id).await?;
    reporter.close();
    look_at_tunnel(context, &mut reachability);
    match context.format {
        Format::Json => json::print(&reachability)?,
        Format::Table => {
            let mut table = Columns::new(context.paint, &[]);
            for (name, value) in super::explain::ways(&reachability) {
                table.row([name, value]);
            }
            table.print()?;
        }
    }
    Ok(0)
}
