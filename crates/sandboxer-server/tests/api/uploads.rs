//! Uploads: whose they are, and that nothing stays of those that are not taken.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use sandboxer_model::sandbox::Actor;
use serde_json::{Value, json};

use crate::client::Reply;
use crate::server::Running;

fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

async fn upload(server: &Running, key: &str, archive: &[u8]) -> Reply {
    let ask = server.ask("POST", "/v1/uploads").key(key);
    ask.bytes("application/x-tar", archive).send().await
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("uploads")).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn with(upload: &str, run: &str) -> Value {
    json!({ "profile": "profile.native", "inputs": { "repo": format!("upload:{upload}") }, "scope": "session",
            "consumer": { "run_id": run } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_of_who_made_it_and_for_others_it_is_not_there() {
    let server = Running::start().await;
    let one = server.key("one", Actor::Agt, Some("alpha"), None).await;
    let two = server.key("two", Actor::Agt, Some("alpha"), None).await;
    let atm = server.key("auto", Actor::Atm, Some("alpha"), None).await;
    let foreign = server.key("one", Actor::Agt, Some("beta"), None).await;
    let foreign_atm = server.key("auto", Actor::Atm, Some("beta"), None).await;
    let made = upload(&server, &one, &archive(&[("a", "1"), ("d/b", "22")]))
        .await
        .expect(201)
        .json();
    assert_eq!((&made["entries"], &made["bytes"]), (&json!(2), &json!(3)));
    let id = made["upload_id"].as_str().unwrap();
    assert!(id.starts_with("upl-") && id.len() == 30, "{id}");
    for (run, key) in [&one, &atm, &server.adm].into_iter().enumerate() {
        let made = server
            .post(key, "/v1/sandboxes?wait=ready", &with(id, &run.to_string()))
            .await;
        assert_eq!(made.status, 201, "{}", made.text());
        let directory = made.json()["inputs"]["repo"].as_str().unwrap().to_owned();
        assert_eq!(std::fs::read(Path::new(&directory).join("d/b")).unwrap(), b"22");
    }
    let unknown = "upl-00000000000000000000000000";
    let nothing = server
        .post(&two, "/v1/sandboxes", &with(unknown, "x"))
        .await
        .expect(404);
    for key in [&two, &foreign, &foreign_atm] {
        let hidden = server.post(key, "/v1/sandboxes", &with(id, "x")).await.expect(404);
        assert_eq!((hidden.code(), &hidden.bytes), ("not_found".to_owned(), &nothing.bytes));
    }
    for bad in [
        "",
        "x",
        "../../etc",
        "upl-",
        "upl-0000000000000000000000000/",
        &format!("{id}/../{id}"),
    ] {
        let reply = server.post(&one, "/v1/sandboxes", &with(bad, "x")).await;
        assert_eq!(reply.status, 404, "{bad}: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_or_breaks_off_leaves_nothing() {
    let server = Running::start().await;
    let mut up = archive(&[("abcdefg", "1")]);
    up[..7].copy_from_slice(b"../../x");
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(&up[..512]);
    header.set_cksum();
    up[..512].copy_from_slice(header.as_bytes());
    let good = archive(&[("a", "1")]);
    for (bad, status) in [
        (up.as_slice(), 422),
        (b"no archive", 422),
        (&good[..600], 422),
        (b"", 422),
    ] {
        let reply = upload(&server, &server.adm, bad).await.expect(status);
        assert!(reply.text().contains("the archive is not taken"), "{}", reply.text());
    }
    assert_eq!(names(server.dir.path()), [] as [&str; 0]);
    // One that promises more than it sends.
    let mut connection = std::net::TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST /v1/uploads HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/x-tar\r\ncontent-length: 1000000\r\n\r\n",
        server.adm
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(&good[..1000]).unwrap();
    wait_until(|| names(server.dir.path()).len() == 1).await;
    drop(connection);
    wait_until(|| names(server.dir.path()).is_empty()).await;
}

async fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it does not come to pass");
        // The server has threads of its own.
        std::thread::park_timeout(Duration::from_millis(3));
    }
}
