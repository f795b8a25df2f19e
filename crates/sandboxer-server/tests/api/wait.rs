//! Waiting over HTTP: until it is so, until it can no longer be, for as long as was asked, and not for too many at once.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sandboxer_model::sandbox::Actor;
use serde_json::json;

use crate::server::{Running, id};

/// Waits of one key at a time.
const MOST: usize = 128;

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_long_hears_of_it_too() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let path = format!("/v1/sandboxes/{}", id(&server.make(&key, json!({})).await));
    let gone = format!("{path}/wait?state=destroyed");
    let patient = async {
        server
            .get(&key, &format!("{gone}&timeout=60s"))
            .await
            .expect(200)
            .json()
    };
    let removed = async {
        // Longer than it is looked at all the time.
        let waited = server.get(&key, &format!("{gone}&timeout=4s")).await.expect(408);
        assert_eq!(waited.code(), "timeout");
        server.ask("DELETE", &path).key(&key).send().await.expect(200)
    };
    let (waited, _) = tokio::join!(patient, removed);
    assert_eq!(waited["state"], "destroyed");
    let never = server.get(&key, &format!("{path}/wait?state=ready")).await.expect(409);
    assert_eq!(never.code(), "wrong_state");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_waits_for_so_much_at_once_and_others_beside_it() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let path = format!("/v1/sandboxes/{}", id(&server.make(&key, json!({})).await));
    let gone = format!("{path}/wait?state=destroyed&timeout=60s");
    let mut waiting: FuturesUnordered<_> = (0..MOST + 20).map(|_| server.get(&key, &gone)).collect();
    for _ in 0..20 {
        waiting.next().await.unwrap().expect(429);
    }
    // Somebody else waits meanwhile.
    let other = server.key("auto", Actor::Atm, Some("p"), None).await;
    let theirs = format!("{path}/wait?state=destroyed&timeout=1s");
    server.get(&other, &theirs).await.expect(408);
    let removed = server.ask("DELETE", &path).key(&other).send();
    let (removed, rest) = tokio::join!(removed, waiting.collect::<Vec<_>>());
    removed.expect(200);
    assert_eq!(rest.iter().filter(|reply| reply.status == 200).count(), MOST);
}
