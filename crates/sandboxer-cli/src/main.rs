//! The binary `sandboxer`.

mod app;
mod args;
mod context;
mod env;
mod error;
mod fast;
mod host_keys;
mod interrupt;
mod outbound;
mod output;
mod service;
mod terminal;
mod value;
mod verb;

fn main() {
    // A keeper of a sandbox is this same program started again: it must not pay for anything below.
    if let Some(code) = extension_native::internal_entry() {
        std::process::exit(code);
    }
    // Before there is a second thread, and beside all that comes next.
    let here = env::API.get().is_none() && app::makes_a_sandbox(std::env::args_os());
    let spare = here.then(|| extension_native::Spare::fork().ok());
    // Not returned from: leaving at once skips destructors that only the kernel needs to run.
    std::process::exit(i32::from(app::run(spare.flatten())));
}
