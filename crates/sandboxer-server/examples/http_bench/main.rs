//! Figures of the HTTP API: `http_bench DIRECTORY` measures a server in a process of its own over backends that do nothing, and prints
//! figures as JSON; `http_bench serve DIRECTORY` is that server. What is on disk is real: the directory should be on the disk that counts.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a tool for measuring: it starts itself, looks at the clock and prints"
)]

mod client;
mod floor;
mod measure;
mod records;
mod serve;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", folder] => serve::serve(folder.as_ref()).await,
        [folder] => {
            let figures = measure::all(folder.as_ref()).await?;
            println!("{}", serde_json::to_string_pretty(&figures)?);
            Ok(())
        }
        _ => Err("usage: http_bench [serve] DIRECTORY".into()),
    }
}
