//! Figures of the HTTP API: `http_bench DIRECTORY` measures a server in a process of its own over backends that do nothing, then over
//! real sandboxes, and prints figures as JSON; `http_bench serve DIRECTORY` is that server. What is on disk is real: the directory should be on the disk that counts.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a tool for measuring: it starts itself, looks at the clock and prints"
)]

mod client;
mod floor;
mod measure;
mod native;
mod records;
mod serve;

use serve::Backend;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Outcome {
    // A keeper of a sandbox is this same program started again.
    if let Some(code) = extension_native::internal_entry() {
        std::process::exit(code);
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run())
}

async fn run() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", folder] => serve::serve(folder.as_ref(), Backend::Nothing).await,
        ["serve-native", folder] => serve::serve(folder.as_ref(), Backend::Native).await,
        [folder] => {
            let figures = measure::all(folder.as_ref()).await?;
            println!("{}", serde_json::to_string_pretty(&figures)?);
            Ok(())
        }
        _ => Err("usage: http_bench [serve|serve-native] DIRECTORY".into()),
    }
}
