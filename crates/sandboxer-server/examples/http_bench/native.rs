//! Real sandboxes: made through a server in a process of its own, and by an engine in this one, in turns.

use std::path::Path;
use std::time::{Duration, Instant};

use sandboxer_engine::Cancel;
use sandboxer_engine::api::{CreateRequest, Silent};
use serde_json::Value;

use crate::Outcome;
use crate::client::{Ask, Connection, Samples};
use crate::measure::Process;
use crate::serve::{Backend, engine};

/// Sandboxes of each kind.
const ROUNDS: usize = 60;

/// Makes sandboxes in both ways, and once more with a command inside and its end, as a client with a connection for each request
/// has it.
pub(crate) async fn measure(note: &mut impl FnMut(&str, f64), folder: &Path) -> Outcome {
    let (here, there) = (folder.join("native-here"), folder.join("native-there"));
    std::fs::create_dir_all(&here)?;
    std::fs::create_dir_all(&there)?;
    let own = engine(&here, Backend::Native).await?;
    let server = Process::start("serve-native", &there)?;
    let (api, key) = (server.there.api.clone(), server.there.key.clone());
    let mut kept = Connection::open(&api).await?;
    let (mut within, mut over, mut round) = (Samples::default(), Samples::default(), Samples::default());
    for number in 0..ROUNDS {
        let request = CreateRequest {
            profile: Some("profile.native".to_owned()),
            working_dir: folder.to_owned(),
            ..CreateRequest::default()
        };
        let began = Instant::now();
        let made = own.create(request, &Silent, &Cancel::new()).await?;
        let took = began.elapsed();
        own.destroy(made.sandbox.sandbox_id.as_str(), &Silent).await?;

        let began = Instant::now();
        let id = create(&mut kept, &key).await?;
        let took_over_http = began.elapsed();
        destroy(&mut kept, &key, &id).await?;

        let began = Instant::now();
        let id = create(&mut Connection::open(&api).await?, &key).await?;
        let exec = Ask {
            method: "POST",
            path: format!("/v1/sandboxes/{id}/exec"),
            key: key.clone(),
            body: "{\"argv\": [\"true\"]}".to_owned(),
        };
        let (status, answer) = Connection::open(&api).await?.send(&exec).await?;
        if status != 200 {
            return Err(format!("exec: {status} {}", String::from_utf8_lossy(&answer)).into());
        }
        destroy(&mut Connection::open(&api).await?, &key, &id).await?;
        // The first few warm everything up.
        if number >= 5 {
            keep(&mut within, took);
            keep(&mut over, took_over_http);
            keep(&mut round, began.elapsed());
        }
    }
    for (name, samples) in [
        ("within", &mut within),
        ("over_http", &mut over),
        ("round_trip", &mut round),
    ] {
        note(&format!("native_{name}_p50_ms"), samples.percentile(50));
        note(&format!("native_{name}_p99_ms"), samples.percentile(99));
    }
    Ok(())
}

fn keep(samples: &mut Samples, took: Duration) {
    samples.took.push(took);
}

async fn create(connection: &mut Connection, key: &str) -> Outcome<String> {
    let ask = Ask {
        path: "/v1/sandboxes?wait=ready".to_owned(),
        ..Ask::create(key)
    };
    let (status, made) = connection.send(&ask).await?;
    if status != 201 {
        return Err(format!("create: {status} {}", String::from_utf8_lossy(&made)).into());
    }
    let made: Value = serde_json::from_slice(&made)?;
    Ok(made["sandbox_id"].as_str().ok_or("no id")?.to_owned())
}

async fn destroy(connection: &mut Connection, key: &str, id: &str) -> Outcome {
    let ask = Ask {
        method: "DELETE",
        ..Ask::get(&format!("/v1/sandboxes/{id}"), key)
    };
    match connection.send(&ask).await? {
        (200, _) => Ok(()),
        (status, answer) => Err(format!("destroy: {status} {}", String::from_utf8_lossy(&answer)).into()),
    }
}
