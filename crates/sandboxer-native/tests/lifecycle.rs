//! Deaths at the wrong moment, half-made states, races: what stays true of a sandbox, and that nothing is left of it.
#![expect(clippy::disallowed_methods, reason = "a test program")]

mod support;

fn main() -> std::process::ExitCode {
    support::main("lifecycle")
}
