//! Runs every probe with the protection that it tries switched off: each must report the breach, or it proves nothing.
#![expect(clippy::disallowed_methods, reason = "a test program")]

mod support;

fn main() -> std::process::ExitCode {
    support::main("probes_can_fail")
}
