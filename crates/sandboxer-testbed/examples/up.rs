//! A test host for a person: comes up, says how to reach it, and goes down at the end of its input.
//!
//! `cargo run --package sandboxer-testbed --example up -- [plugin|standalone|python|podman|none]`

use std::io::Read as _;

use sandboxer_testbed::{Compose, Host, Plan, Unavailable};

fn main() -> Result<(), Unavailable> {
    let compose = match std::env::args().nth(1).as_deref() {
        Some("standalone") => Compose::Standalone,
        Some("python") => Compose::Python,
        Some("podman") => Compose::Podman,
        Some("none") => Compose::None,
        _ => Compose::Plugin,
    };
    let host = Host::start(Plan::new().compose(compose))?;
    println!("ssh -F {} {}", host.ssh_config().display(), host.alias());
    println!("nsenter -t {} -m -u -i -n -p -C -r -w bash", host.init());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    host.down();
    Ok(())
}
