//! Events as they happen: every one exactly once and in order, for those who may see it and as long as they may.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use sandboxer_model::sandbox::Actor;
use sandboxer_testbed::Stopwatch;
use serde_json::{Value, json};

use crate::server::{Running, id};

/// How long something is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// One who follows.
struct Follower {
    body: Incoming,
    text: String,
    ready: VecDeque<(u64, Value)>,
}

impl Follower {
    async fn connect(server: &Running, key: &str, behind: Option<u64>) -> Result<Follower, u16> {
        let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let mut request = Request::get("/v1/events")
            .header("host", "localhost")
            .header("accept", "text/event-stream")
            .header("authorization", format!("Bearer {key}"));
        if let Some(position) = behind {
            request = request.header("last-event-id", position.to_string());
        }
        let answer = sender.send_request(request.body(Body::empty()).unwrap()).await.unwrap();
        if answer.status() != 200 {
            return Err(answer.status().as_u16());
        }
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut follower = Follower {
            body: answer.into_body(),
            text: String::new(),
            ready: VecDeque::new(),
        };
        // The first words: from here on nothing is missed.
        follower.more().await.unwrap();
        Ok(follower)
    }

    /// Reads a part; nothing: the stream ended in order.
    async fn more(&mut self) -> Option<()> {
        let frame = tokio::time::timeout(PATIENCE, self.body.frame())
            .await
            .expect("nothing comes")?;
        let data = frame.expect("it broke off").into_data().unwrap_or_default();
        self.text.push_str(std::str::from_utf8(&data).unwrap());
        while let Some((block, rest)) = self.text.split_once("\n\n") {
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name));
                line.map(str::to_owned)
            };
            if let (Some(position), Some(kind), Some(data)) = (field("id: "), field("event: "), field("data: ")) {
                let event: Value = serde_json::from_str(&data).unwrap();
                assert_eq!(event["kind"], Value::String(kind));
                self.ready.push_back((position.parse().unwrap(), event));
            }
            self.text = rest.to_owned();
        }
        Some(())
    }

    /// The next event; nothing: the stream ended in order.
    async fn next(&mut self) -> Option<(u64, Value)> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                return Some(next);
            }
            self.more().await?;
        }
    }
}

/// Everything that a key sees, page by page.
async fn pages(server: &Running, key: &str, limit: u32) -> Vec<(u64, Value)> {
    let (mut all, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let path = format!("/v1/events?after={after}&limit={limit}");
        let ask = server.ask("GET", &path).key(key).header("accept", "application/json");
        let page = ask.send().await.expect(200).json();
        for mut event in page["items"].as_array().unwrap().clone() {
            let position = event.as_object_mut().unwrap().remove("position").unwrap();
            all.push((position.as_u64().unwrap(), event));
        }
        match page["next_cursor"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return all,
        }
    }
}

async fn session(server: &Running, key: &str, run: usize) -> String {
    let run = format!("run-{run}");
    id(&server
        .make(key, json!({ "scope": "session", "consumer": { "run_id": run } }))
        .await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_follow_see_every_event_once_and_in_order_also_when_one_keeps_leaving() {
    let server = Running::start().await;
    let atm = server.key("auto", Actor::Atm, Some("alpha"), None).await;
    let foreign = server.key("auto", Actor::Atm, Some("beta"), None).await;
    let mut steady = Follower::connect(&server, &atm, None).await.unwrap();
    let mut restless = Follower::connect(&server, &atm, None).await.unwrap();
    let work = async {
        for run in 0..12 {
            let of_others = session(&server, &foreign, run).await;
            let own = session(&server, &atm, run).await;
            for (key, id) in [(&atm, own), (&foreign, of_others)] {
                let path = format!("/v1/sandboxes/{id}");
                server.ask("DELETE", &path).key(key).send().await.expect(200);
            }
        }
        pages(&server, &atm, 7).await
    };
    let steadily = async {
        let mut seen = Vec::new();
        while seen
            .iter()
            .filter(|(_, event): &&(u64, Value)| event["kind"] == "state.destroyed")
            .count()
            < 12
        {
            seen.push(steady.next().await.unwrap());
        }
        seen
    };
    let restlessly = async {
        let mut seen: Vec<(u64, Value)> = Vec::new();
        while seen
            .iter()
            .filter(|(_, event)| event["kind"] == "state.destroyed")
            .count()
            < 12
        {
            seen.push(restless.next().await.unwrap());
            if seen.len().is_multiple_of(3) {
                let behind = seen.last().map(|(position, _)| *position);
                restless = Follower::connect(&server, &atm, behind).await.unwrap();
            }
        }
        seen
    };
    let (all, steadily, restlessly) = tokio::join!(work, steadily, restlessly);
    assert_eq!(steadily, all);
    assert_eq!(restlessly, all);
    assert!(all.windows(2).all(|two| two[0].0 < two[1].0));
    // Whoever sees all sees those of both, and each position once.
    let everything = pages(&server, &server.adm, 200).await;
    assert_eq!(everything.len(), 2 * all.len());
    let positions: Vec<u64> = everything.iter().map(|(position, _)| *position).collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_revoked_loses_its_streams_and_a_server_that_stops_ends_them() {
    let server = Running::start().await;
    let atm = server.key("auto", Actor::Atm, Some("alpha"), None).await;
    let (mut revoked, mut other) = (
        Follower::connect(&server, &atm, None).await.unwrap(),
        Follower::connect(&server, &server.adm, None).await.unwrap(),
    );
    let key_id = atm.split('_').nth(2).unwrap();
    server.engine.revoke_key(key_id).await.unwrap();
    let watch = Stopwatch::start();
    assert_eq!(revoked.next().await, None);
    let took = watch.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(Follower::connect(&server, &atm, None).await.err(), Some(401));
    session(&server, &server.adm.clone(), 1).await;
    assert!(other.next().await.is_some());
    server.stop();
    while other.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_may_follow_fifty_times_and_not_more() {
    let server = Running::start().await;
    let agt = server.key("one", Actor::Agt, Some("alpha"), None).await;
    let foreign = server.key("one", Actor::Agt, Some("beta"), None).await;
    let mut inside = Vec::new();
    for _ in 0..50 {
        inside.push(Follower::connect(&server, &agt, None).await.unwrap());
    }
    assert_eq!(Follower::connect(&server, &agt, None).await.err(), Some(429));
    assert!(Follower::connect(&server, &foreign, None).await.is_ok());
    inside.pop();
    // That one left is noticed when it is told of.
    let deadline = std::time::Instant::now() + PATIENCE;
    while Follower::connect(&server, &agt, None).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "its place is not given back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_is_none_is_refused() {
    let server = Running::start().await;
    for position in ["x", "-1", "1e3", "99999999999999999999999", "1000"] {
        let ask = server.ask("GET", "/v1/events").key(&server.adm);
        let reply = ask.header("last-event-id", position).send().await.expect(422);
        assert_eq!(reply.code(), "invalid_input", "{position}");
    }
    for query in ["limit=0", "limit=201", "after=x", "what=1"] {
        let ask = server.ask("GET", &format!("/v1/events?{query}")).key(&server.adm);
        ask.header("accept", "application/json").send().await.expect(422);
    }
}
