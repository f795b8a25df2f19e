//! Tries, from inside real sandboxes and beside them, what a sandbox must not let happen: as root, and as a plain user.
#![expect(clippy::disallowed_methods, reason = "a test program")]

mod support;

fn main() -> std::process::ExitCode {
    support::main("probes")
}
