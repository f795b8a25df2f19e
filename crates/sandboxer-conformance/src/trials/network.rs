//! "Deny" is a tested deny.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use sandboxer_extension::ExecExit;
use sandboxer_model::profile::NetworkDefault;

use crate::bench::Bench;
use crate::ensure;
use crate::probe::ProbeCommand;
use crate::trial::{Outcome, Stop, trials};

trials! {
    deny_keeps_host_services_out_of_reach ["network_deny", "exec"],
    egress_list_is_accepted ["network_egress"],
    open_network_is_accepted ["network_allow"],
}

async fn deny_keeps_host_services_out_of_reach(bench: &Bench<'_>) -> Outcome {
    let cannot_listen = |error: std::io::Error| Stop::Skipped(format!("no listener on this machine: {error}"));
    let listener = TcpListener::bind("127.0.0.1:0").map_err(cannot_listen)?;
    listener.set_nonblocking(true).map_err(cannot_listen)?;
    let mut addresses = vec![listener.local_addr().map_err(cannot_listen)?];
    for neighbour in &bench.subject.neighbours {
        // A service that nobody reaches would show nothing.
        TcpStream::connect_timeout(neighbour, Duration::from_secs(5))
            .map_err(|error| Stop::Skipped(format!("{neighbour} does not answer this machine either: {error}")))?;
        addresses.push(*neighbour);
    }
    let mut profile = bench.subject.profile.clone();
    profile.network.default = NetworkDefault::Deny;
    profile.network.egress = Vec::new();
    let (target, _) = bench.up(&bench.request_of(profile)).await?;
    for address in addresses {
        let ran = bench.run(&target, &ProbeCommand::Connect(address), Vec::new()).await?;
        if ran.exit == ExecExit::Code(127) {
            return Err(Stop::Skipped(
                "there is neither bash nor nc inside to try a connection with".to_owned(),
            ));
        }
        ensure!(ran.exit != ExecExit::Code(0), "{address} of the host answers inside");
    }
    ensure!(listener.accept().is_err(), "a connection from inside reached the host");
    Ok(())
}

async fn egress_list_is_accepted(bench: &Bench<'_>) -> Outcome {
    let mut profile = bench.subject.profile.clone();
    profile.network.default = NetworkDefault::Deny;
    profile.network.egress = vec!["192.0.2.1/32:443".into()];
    let (_, ready) = bench.up(&bench.request_of(profile)).await?;
    ensure!(
        !ready.isolation.attestations.is_empty(),
        "an allow-list was accepted and nothing was tried from inside"
    );
    ensure!(
        ready.isolation.attestations.iter().all(|tried| tried.held),
        "{:?}",
        ready.isolation.attestations
    );
    Ok(())
}

async fn open_network_is_accepted(bench: &Bench<'_>) -> Outcome {
    let mut profile = bench.subject.profile.clone();
    profile.network.default = NetworkDefault::Allow;
    bench.up(&bench.request_of(profile)).await.map(drop)
}
