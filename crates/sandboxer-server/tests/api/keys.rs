//! Keys: what is no key is refused, what is revoked is refused at once, and what they did is on record.

use sandboxer_api::identity::Grant;
use sandboxer_model::sandbox::Actor;
use serde_json::json;

use crate::server::Running;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_malformed_tokens_are_all_refused_alike() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let none = server.ask("GET", "/v1/me").send().await.expect(401);
    let mut random = fastrand::Rng::with_seed(7);
    let mut refused = 0;
    // Over few connections at once: what counts is what is refused, not how the sockets do.
    for _ in 0..100 {
        let asks = (0..100).map(|_| {
            let token = malformed(&key, &mut random);
            server.ask("GET", "/v1/me").header("authorization", &token).send()
        });
        for reply in futures_util::future::join_all(asks).await {
            assert_eq!(reply.status, 401, "{}", reply.text());
            assert_eq!(reply.bytes, none.bytes);
            refused += 1;
        }
    }
    println!("{refused} malformed tokens refused");
    server.get(&key, "/v1/me").await.expect(200);
}

/// Something like a token that is none.
fn malformed(key: &str, random: &mut fastrand::Rng) -> String {
    let visible = |random: &mut fastrand::Rng, length: usize| -> String {
        (0..length).map(|_| char::from(random.u8(b'!'..=b'~'))).collect()
    };
    let mut bytes: Vec<u8> = key.bytes().collect();
    match random.u8(0..8) {
        // One character differs.
        0 => {
            let at = random.usize(0..bytes.len());
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            format!("Bearer {}", String::from_utf8_lossy(&bytes))
        }
        1 => format!("Bearer {}", &key[..random.usize(0..key.len())]),
        2 => {
            let length = random.usize(1..40);
            format!("Bearer {key}{}", visible(random, length))
        }
        3 => {
            let length = random.usize(0..200);
            format!("Bearer {}", visible(random, length))
        }
        4 => format!("Basic {key}"),
        5 => format!("{key} Bearer"),
        6 => {
            let (id, secret) = (visible(random, 8), visible(random, 32));
            format!("Bearer sbx_live_{id}_{secret}")
        }
        _ => key.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_rotated_and_revoked() {
    let server = Running::start().await;
    let new = json!({ "name": "ci", "role": "atm", "project": "p", "expires_in": "1h" });
    let made = server.post(&server.adm, "/v1/keys", &new).await.expect(201).json();
    let (token, id) = (made["token"].as_str().unwrap(), made["key_id"].as_str().unwrap());
    assert!(token.starts_with(&format!("sbx_live_{id}_")) && token.len() == 9 + 8 + 1 + 32);
    assert_eq!(server.get(token, "/v1/me").await.expect(200).json()["name"], "ci");
    let listed = server.get(&server.adm, "/v1/keys").await.expect(200);
    let secret = token.rsplit('_').next().unwrap();
    assert!(listed.text().contains(id) && !listed.text().contains(secret));
    let rotated = server
        .post(
            &server.adm,
            &format!("/v1/keys/{id}/rotate"),
            &json!({ "overlap": "1h" }),
        )
        .await
        .expect(201)
        .json();
    let newer = rotated["token"].as_str().unwrap();
    assert_eq!(rotated["rotated_from"], id);
    server.get(token, "/v1/me").await.expect(200);
    server.get(newer, "/v1/me").await.expect(200);
    server
        .ask("DELETE", &format!("/v1/keys/{id}"))
        .key(&server.adm)
        .send()
        .await
        .expect(200);
    server.get(token, "/v1/me").await.expect(401);
    server.get(newer, "/v1/me").await.expect(200);
    for wrong in [
        json!({ "name": "x", "role": "agt" }),
        json!({ "name": "x", "role": "adm", "project": "p" }),
        json!({ "name": "", "role": "agt", "project": "p" }),
        json!({ "name": "x", "role": "agt", "project": "p", "grants": ["keys:admin"] }),
    ] {
        server.post(&server.adm, "/v1/keys", &wrong).await.expect(422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keys_did_is_on_record_and_whole() {
    let server = Running::start().await;
    let key = server.key("one", Actor::Agt, Some("p"), None).await;
    let sandbox = server.make(&key, json!({})).await;
    let id = crate::server::id(&sandbox);
    server.get(&key, "/v1/hosts").await.expect(403);
    server
        .ask("DELETE", &format!("/v1/sandboxes/{id}"))
        .key(&key)
        .send()
        .await
        .expect(200);
    let rows = server.get(&server.adm, "/v1/audit?limit=10").await.expect(200).json();
    let told: Vec<_> = rows["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|row| {
            (
                row["action"].as_str().unwrap().to_owned(),
                row["object"].clone(),
                row["status"].as_u64().unwrap(),
            )
        })
        .collect();
    assert!(told.contains(&("sandbox.create".into(), json!(id), 201)), "{told:?}");
    assert!(told.contains(&("host.list".into(), json!(null), 403)), "{told:?}");
    assert!(told.contains(&("sandbox.destroy".into(), json!(id), 200)), "{told:?}");
    let verdict = server
        .post(&server.adm, "/v1/audit/verify", &json!({}))
        .await
        .expect(200)
        .json();
    assert_eq!(verdict["intact"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_a_key_that_may_do_more_than_their_own() {
    let server = Running::start().await;
    let few = Some(vec![Grant::KeysAdmin, Grant::SandboxesRead]);
    let clerk = server.key("clerk", Actor::Adm, None, few).await;
    for more in [
        json!({ "name": "x", "role": "adm" }),
        json!({ "name": "x", "role": "agt", "project": "p" }),
        json!({ "name": "x", "role": "agt", "project": "p", "grants": ["sandboxes:read", "sandboxes:destroy"] }),
    ] {
        assert_eq!(
            server.post(&clerk, "/v1/keys", &more).await.expect(403).code(),
            "forbidden"
        );
    }
    let root = server.adm.split('_').nth(2).unwrap();
    let rotate = format!("/v1/keys/{root}/rotate");
    assert_eq!(
        server.post(&clerk, &rotate, &json!({})).await.expect(403).code(),
        "forbidden"
    );
    let same = json!({ "name": "x", "role": "agt", "project": "p", "grants": ["sandboxes:read"] });
    server.post(&clerk, "/v1/keys", &same).await.expect(201);
}
