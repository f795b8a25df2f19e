//! Making sandboxes over HTTP: once for each key, for whom the key says, within what the project may have.

use std::collections::BTreeSet;

use sandboxer_model::sandbox::Actor;
use serde_json::json;

use crate::server::{Running, id};

#[tokio::test(flavor = "multi_thread")]
async fn a_create_is_accepted_at_once_and_made_afterwards() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let reply = server
        .post(&key, "/v1/sandboxes", &json!({ "profile": "profile.native" }))
        .await
        .expect(202);
    let sandbox = reply.json();
    let path = format!("/v1/sandboxes/{}", id(&sandbox));
    assert_eq!(reply.header("location"), Some(path.as_str()));
    assert!(sandbox["operation_id"].is_string());
    let waited = server
        .get(&key, &format!("{path}/wait?state=ready&timeout=20s"))
        .await
        .expect(200);
    assert_eq!(waited.json()["state"], "ready");
    assert!(waited.header("etag").is_some());
    let operation = format!("/v1/operations/{}", sandbox["operation_id"].as_str().unwrap());
    assert_eq!(
        server.get(&key, &operation).await.expect(200).json()["status"],
        "succeeded"
    );
    assert_eq!(
        server.ask("DELETE", &path).key(&key).send().await.expect(200).json()["state"],
        "destroyed"
    );
    assert_eq!(server.get(&key, &path).await.expect(200).json()["state"], "destroyed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_makes_one_sandbox_however_many_ask_at_once() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let asks = (0..40).map(|_| {
        server
            .ask("POST", "/v1/sandboxes?wait=ready")
            .key(&key)
            .header("idempotency-key", "k-1")
            .json(&json!({ "profile": "profile.native" }))
            .send()
    });
    let replies = futures_util::future::join_all(asks).await;
    let ids: BTreeSet<_> = replies.iter().map(|reply| id(&reply.json())).collect();
    assert_eq!(ids.len(), 1);
    assert!(replies.iter().all(|reply| reply.status == 201));
    let is_first = |reply: &&crate::client::Reply| reply.header("idempotent-replayed").is_none();
    assert_eq!(replies.iter().filter(is_first).count(), 1);
    for reply in &replies {
        let (made, again) = (reply.json(), reply.header("idempotent-replayed").is_some());
        assert_eq!((&made["reused"], &made["replayed"]), (&json!(false), &json!(again)));
    }
    assert_eq!(server.world.resources().len(), 1);
    let other = server
        .ask("POST", "/v1/sandboxes")
        .key(&key)
        .header("idempotency-key", "k-1")
        .json(&json!({ "profile": "profile.native", "ttl": "5m" }))
        .send()
        .await
        .expect(422);
    assert_eq!(other.code(), "key_conflict");
    // Another subject's key of the same name is another key.
    let another = server.key("two", Actor::Agt, Some("p"), None).await;
    let theirs = server
        .ask("POST", "/v1/sandboxes?wait=ready")
        .key(&another)
        .header("idempotency-key", "k-1")
        .json(&json!({ "profile": "profile.native" }))
        .send()
        .await
        .expect(201);
    assert!(!ids.contains(&id(&theirs.json())));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_a_sandbox_is_for_comes_from_the_key() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let plain = server.make(&key, json!({ "consumer": { "run_id": "r" } })).await;
    assert_eq!(
        plain["consumer"],
        json!({ "actor": "agt", "project": "p", "run_id": "r" })
    );
    for claim in [
        json!({ "actor": "adm" }),
        json!({ "actor": "atm" }),
        json!({ "project": "q" }),
    ] {
        let body = json!({ "profile": "profile.native", "consumer": claim });
        let reply = server.post(&key, "/v1/sandboxes", &body).await.expect(403);
        assert_eq!(reply.code(), "forbidden");
    }
    let auto = server.key("auto", Actor::Atm, Some("p"), None).await;
    let lowered = server
        .make(&auto, json!({ "consumer": { "actor": "agt", "project": "p" } }))
        .await;
    assert_eq!(lowered["consumer"]["actor"], "agt");
    for wrong in [
        json!({ "consumer": { "key": "x" } }),
        json!({ "sandbox_id": "sbx" }),
        json!({ "state": "ready" }),
    ] {
        server.post(&key, "/v1/sandboxes", &wrong).await.expect(422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_reaches_nothing_of_the_server_through_a_create() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    for body in [
        json!({ "profile": "/etc/passwd" }),
        json!({ "profile": "./profile.yaml" }),
        json!({ "profile": "../x.yml" }),
        json!({ "profile": "profile.native", "inputs": { "repo": "/etc" } }),
        json!({ "profile": "profile.native", "inputs": { "repo": "." } }),
        json!({ "profile": "profile.native", "inputs": { "repo": "upload:../../etc" } }),
        json!({ "profile": "profile.native", "host": "root@192.0.2.1" }),
    ] {
        let reply = server.post(&key, "/v1/sandboxes", &body).await;
        assert!(
            matches!(reply.status, 404 | 422),
            "{body}: {} {}",
            reply.status,
            reply.text()
        );
    }
    assert!(server.world.resources().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_has_no_more_than_it_may_have() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let set = json!({ "max_live": 3, "creates_per_second": 1000, "burst": 1000 });
    server
        .ask("PUT", "/v1/projects/p")
        .key(&server.adm)
        .json(&set)
        .send()
        .await
        .expect(200);
    let body = json!({ "profile": "profile.native" });
    let asks = (0..12).map(|_| server.post(&key, "/v1/sandboxes?wait=ready", &body));
    let replies = futures_util::future::join_all(asks).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 3);
    for refused in replies.iter().filter(|reply| reply.status != 201) {
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (429, "quota_exceeded"),
            "{}",
            refused.text()
        );
    }
    let of_another = server.key("one", Actor::Agt, Some("q"), None).await;
    server.make(&of_another, json!({})).await;
    let first = replies.iter().find(|reply| reply.status == 201).unwrap();
    let path = format!("/v1/sandboxes/{}", id(&first.json()));
    server.ask("DELETE", &path).key(&key).send().await.expect(200);
    server.make(&key, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_in_a_short_time_are_bounded_and_told_when_to_come_again() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let set = json!({ "max_live": 1000, "creates_per_second": 1, "burst": 2 });
    server
        .ask("PUT", "/v1/projects/p")
        .key(&server.adm)
        .json(&set)
        .send()
        .await
        .expect(200);
    let body = json!({ "profile": "profile.native" });
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let reply = server.post(&key, "/v1/sandboxes", &body).await;
        if reply.status == 429 {
            assert_eq!(reply.code(), "rate_limited");
            assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        }
        statuses.push(reply.status);
    }
    assert_eq!(&statuses[..2], [202, 202]);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_scope_is_one_sandbox_however_many_ask_at_once() {
    let server = Running::start().await;
    let one = server.key("one", Actor::Agt, Some("p"), None).await;
    let two = server.key("two", Actor::Agt, Some("p"), None).await;
    let set = json!({ "creates_per_second": 1000, "burst": 1000 });
    server
        .ask("PUT", "/v1/projects/p")
        .key(&server.adm)
        .json(&set)
        .send()
        .await
        .expect(200);
    for (scope, keys, expected) in [
        ("shared", [&one, &two], 1),
        ("agent", [&one, &two], 2),
        ("session", [&one, &two], 2),
    ] {
        let body = json!({ "profile": "profile.native", "scope": scope, "consumer": { "run_id": "r" } });
        let asks = (0..24).map(|n| server.post(keys[n % 2], "/v1/sandboxes?wait=ready", &body));
        let replies = futures_util::future::join_all(asks).await;
        for reply in &replies {
            assert!(matches!(reply.status, 200 | 201), "{scope}: {}", reply.text());
        }
        let ids: BTreeSet<_> = replies.iter().map(|reply| id(&reply.json())).collect();
        assert_eq!(ids.len(), expected, "{scope}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_that_miss_and_repeat_nothing() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let mut made = BTreeSet::new();
    for n in 0..7 {
        made.insert(id(&server
            .make(&key, json!({ "labels": { "n": format!("{}", n % 2) } }))
            .await));
    }
    let mut seen = Vec::new();
    let mut path = "/v1/sandboxes?limit=3".to_owned();
    loop {
        let page = server.get(&key, &path).await.expect(200).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(id));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/sandboxes?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 7);
    assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), made);
    let labelled = server
        .get(&key, "/v1/sandboxes?label=n%3D1&state=ready&state=active")
        .await
        .expect(200)
        .json();
    assert_eq!(labelled["items"].as_array().unwrap().len(), 3);
    for wrong in [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "label=x",
        "state=nope",
        "nope=1",
        "limit=1&limit=2",
        "all=maybe",
    ] {
        let reply = server.get(&key, &format!("/v1/sandboxes?{wrong}")).await.expect(422);
        assert_eq!(reply.code(), "invalid_input", "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_meant_for_one_version() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let path = format!("/v1/sandboxes/{}", id(&server.make(&key, json!({})).await));
    let tag = server
        .get(&key, &path)
        .await
        .expect(200)
        .header("etag")
        .unwrap()
        .to_owned();
    let change = |tag: &str, value: &str| {
        server
            .ask("PATCH", &path)
            .key(&key)
            .header("if-match", tag)
            .json(&json!({ "labels": { "a": value } }))
            .send()
    };
    let changed = change(&tag, "1").await.expect(200);
    let newer = changed.header("etag").unwrap().to_owned();
    assert_ne!(newer, tag);
    assert_eq!(change(&tag, "2").await.expect(412).code(), "precondition_failed");
    change(&newer, "2").await.expect(200);
    let gone = server
        .ask("DELETE", &path)
        .key(&key)
        .header("if-match", &tag)
        .send()
        .await;
    assert_eq!(gone.expect(412).code(), "precondition_failed");
    server
        .ask("DELETE", &path)
        .key(&key)
        .header("if-match", "*")
        .send()
        .await
        .expect(200);
}

/// Of many who change the same version at once, one does: nobody's change is lost under another's.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_changes_of_one_version_one_is_made() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let path = format!("/v1/sandboxes/{}", id(&server.make(&key, json!({})).await));
    let tag = async || {
        server
            .get(&key, &path)
            .await
            .expect(200)
            .header("etag")
            .unwrap()
            .to_owned()
    };
    let label = async |tag: &str, value: usize| {
        let labels = json!({ "labels": { "a": value.to_string() } });
        let asked = server
            .ask("PATCH", &path)
            .key(&key)
            .header("if-match", tag)
            .json(&labels);
        asked.send().await.status
    };
    let extend = async |tag: &str| {
        let asked = server
            .ask("PATCH", &format!("{path}/ttl"))
            .key(&key)
            .header("if-match", tag);
        asked.json(&json!({ "duration": "1s" })).send().await.status
    };
    for round in 0..5 {
        let read = tag().await;
        let labels = futures_util::future::join_all((0..8).map(|value| label(&read, 10 * round + value)));
        let extensions = futures_util::future::join_all((0..8).map(|_| extend(&read)));
        let (labels, extensions) = tokio::join!(labels, extensions);
        let all = [labels, extensions].concat();
        // The guard of this backend has a calendar of its own and refuses what came to be asked for.
        let made = all.iter().filter(|status| [200, 422].contains(*status)).count();
        let refused = all.iter().filter(|status| **status == 412).count();
        assert_eq!((made, refused), (1, 15), "{all:?}");
    }
    // A removal of what was read is none of what it became.
    let read = tag().await;
    assert_eq!(label(&read, 99).await, 200);
    let remove = async |tag: &str| {
        server
            .ask("DELETE", &path)
            .key(&key)
            .header("if-match", tag)
            .send()
            .await
            .status
    };
    assert_eq!(remove(&read).await, 412);
    let read = tag().await;
    let (removed, labelled) = tokio::join!(remove(&read), label(&read, 100));
    assert!(
        [(200, 412), (412, 200)].contains(&(removed, labelled)),
        "{removed} {labelled}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shows_a_secret_is_done_once_and_shown_once() {
    let server = Running::start().await;
    let admin = server.key("boss", Actor::Adm, None, None).await;
    let twice = async |path: &str, key: &str, body: serde_json::Value| {
        let ask = || {
            server
                .ask("POST", path)
                .key(&admin)
                .header("idempotency-key", key)
                .json(&body)
                .send()
        };
        let first = ask().await.expect(201).json();
        assert_eq!(ask().await.expect(409).code(), "already_done");
        first
    };
    let made = twice(
        "/v1/keys",
        "make",
        json!({ "name": "n", "role": "agt", "project": "p" }),
    )
    .await;
    let rotate = format!("/v1/keys/{}/rotate", made["key_id"].as_str().unwrap());
    twice(&rotate, "rotate", json!({})).await;
    let url = "https://hooks.example.com/x";
    twice("/v1/webhooks", "hook", json!({ "url": url })).await;
    let keys = server.get(&admin, "/v1/keys").await.expect(200).json();
    let named = |name: &str| {
        keys.as_array()
            .unwrap()
            .iter()
            .filter(|key| key["name"] == name)
            .count()
    };
    assert_eq!(
        named("n"),
        2,
        "one that was made and the one that took its place: {keys}"
    );
    let webhooks = server.get(&admin, "/v1/webhooks").await.expect(200).json();
    assert_eq!(webhooks.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_keyed_request_is_given_again() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let path = format!("/v1/sandboxes/{}/recreate", id(&server.make(&key, json!({})).await));
    let again = || {
        server
            .ask("POST", &path)
            .key(&key)
            .header("idempotency-key", "again")
            .send()
    };
    let first = again().await.expect(200);
    let second = again().await.expect(200);
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(second.json()["generation"], 2);
    for wrong in ["", "a b", "ü"] {
        let reply = server
            .ask("POST", &path)
            .key(&key)
            .header("idempotency-key", wrong)
            .send()
            .await;
        assert_eq!(reply.expect(422).code(), "invalid_input");
    }
}
