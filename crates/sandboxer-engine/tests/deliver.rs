//! Events reach those who want to know: in order, at least once, and whoever fails is in nobody's way.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by it"
)]

mod support;

use std::time::Duration;

use sandboxer_engine::Engine;
use sandboxer_engine::api::{AddWebhook, DeliverLimits, Delivered, Silent, Waiting};
use sandboxer_model::sink::SinkState;
use sandboxer_world::{Manner, wrong_histories};
use support::{Bench, one};

const HUB: &str = "http://hub:8000";
const HOOK: &str = "https://hook.example/a";
const SECOND: Duration = Duration::from_secs(1);

async fn deliver(engine: &Engine) -> Delivered {
    engine.deliver(DeliverLimits::patient()).await.unwrap()
}

async fn create(bench: &Bench, engine: &Engine) -> String {
    let request = bench.request("profile.native");
    let created = engine.create(request, &Silent, &sandboxer_engine::Cancel::new()).await;
    created.unwrap().sandbox.sandbox_id.to_string()
}

async fn add_hook(engine: &Engine, url: &str, events: &[&str]) -> String {
    let new = AddWebhook {
        url: url.to_owned(),
        events: events.iter().map(|&kind| kind.to_owned()).collect(),
    };
    engine.add_webhook(&new).await.unwrap().sink.sink_id
}

/// Delivers, and lets time pass, until nothing is left to do.
async fn settle(bench: &Bench, engine: &Engine) {
    for _ in 0..2000 {
        deliver(engine).await;
        let left: u64 = engine.sinks().await.unwrap().iter().map(|one| one.waiting).sum();
        if left == 0 {
            return;
        }
        bench.clock.advance(SECOND * 60);
    }
    panic!("it never comes to rest: {:#?}", engine.sinks().await.unwrap());
}

async fn assert_exact(bench: &Bench, engine: &Engine, url: &str) {
    let events = engine.events(None).await.unwrap();
    let wrong = wrong_histories(&bench.receivers.received(url), &events);
    assert!(wrong.is_empty(), "{url}: {wrong:#?}");
}

#[tokio::test]
async fn a_hub_is_told_the_whole_history_in_its_own_words() {
    let bench = Bench::new().await;
    bench.receivers.set(HUB, |_, _| Manner::Takes(201));
    let engine = bench.telling(&format!("{HUB}/")).await;
    let id = create(&bench, &engine).await;
    engine.label(&id, one("team", "blue"), Vec::new()).await.unwrap();
    engine.destroy(&id, &Silent).await.unwrap();
    let delivered = deliver(&engine).await;
    let received = bench.receivers.received(HUB);
    let told: Vec<(String, String)> = received
        .iter()
        .map(|one| {
            let body = one.json();
            assert_eq!(body["author"], "sandboxer");
            assert_eq!(body["detail"]["sandbox_id"], id.as_str());
            assert_eq!(body["detail"]["profile_id"], "profile.native");
            let seq = body["detail"]["seq"].as_u64().unwrap();
            assert_eq!(one.header("idempotency-key"), format!("{id}-{seq}"));
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            (text(&body["detail"]["kind"]), text(&body["event_type"]))
        })
        .collect();
    let told: Vec<(&str, &str)> = told
        .iter()
        .map(|(kind, kind_there)| (kind.as_str(), kind_there.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("state.requested", "note"),
            ("state.provisioning", "note"),
            ("state.ready", "milestone"),
            ("labels.changed", "note"),
            ("state.destroying", "note"),
            ("state.destroyed", "milestone"),
        ]
    );
    assert_eq!((delivered.sent, delivered.failed, delivered.unfinished), (6, 0, false));
    let ready = received[2].json();
    for field in [
        "reachability",
        "ttl",
        "expires_at",
        "extension_id",
        "consumer",
        "timestamps",
        "actor_type",
        "state",
    ] {
        assert!(!ready["detail"][field].is_null(), "{field}: {ready}");
    }
    assert!(!received[5].json()["detail"]["cleanup"].is_null());
    // And nothing twice.
    assert_eq!(deliver(&engine).await, Delivered::default());
    assert_eq!(bench.receivers.asked(HUB), 6);
}

#[tokio::test]
async fn what_users_write_stays_with_us() {
    let bench = Bench::new().await;
    bench.receivers.set(HUB, |_, _| Manner::Takes(201));
    let engine = bench.telling(HUB).await;
    let canary = "c4n4ry-t0ken";
    let mut request = bench
        .request_for("id: profile.odd\nextension: ext.native\ninputs:\n  token: { type: string, required: false }\n");
    request.inputs = one("token", canary);
    request.labels = one("first", canary);
    let created = engine
        .create(request, &Silent, &sandboxer_engine::Cancel::new())
        .await
        .unwrap();
    let id = created.sandbox.sandbox_id.to_string();
    assert_eq!(created.sandbox.inputs["token"], canary);
    engine.label(&id, one("second", canary), Vec::new()).await.unwrap();
    engine.destroy(&id, &Silent).await.unwrap();
    deliver(&engine).await;
    let received = bench.receivers.received(HUB);
    assert_eq!(received.len(), 6);
    for one in &received {
        let text = String::from_utf8_lossy(&one.body).into_owned();
        assert!(!text.contains(canary), "{text}");
    }
    assert_eq!(received[3].json()["detail"]["labels"], serde_json::json!(["second"]));
}

#[tokio::test]
async fn what_happened_before_somebody_asked_is_not_sent() {
    let bench = Bench::new().await;
    bench.receivers.set(HUB, |_, _| Manner::Takes(200));
    bench.receivers.set(HOOK, |_, _| Manner::Takes(200));
    let silent = bench.engine();
    let early = create(&bench, &silent).await;
    let engine = bench.telling(HUB).await;
    assert_eq!(deliver(&engine).await, Delivered::default());
    engine.label(&early, one("a", "b"), Vec::new()).await.unwrap();
    // In the outbox when the webhook comes, and not for it.
    add_hook(&engine, HOOK, &[]).await;
    deliver(&engine).await;
    let keys: Vec<u64> = bench
        .receivers
        .received(HUB)
        .iter()
        .map(|one| one.json()["detail"]["seq"].as_u64().unwrap())
        .collect();
    assert_eq!((keys, bench.receivers.asked(HOOK)), (vec![4], 0));
    // A process that knows no hub keeps events for it, and tells nobody but the webhook.
    silent.label(&early, one("c", "d"), Vec::new()).await.unwrap();
    deliver(&silent).await;
    assert_eq!((bench.receivers.asked(HUB), bench.receivers.asked(HOOK)), (1, 1));
    deliver(&engine).await;
    assert_eq!((bench.receivers.asked(HUB), bench.receivers.asked(HOOK)), (2, 1));
}

#[tokio::test]
async fn a_dead_hub_costs_one_request_per_pause_and_nothing_is_lost() {
    let bench = Bench::new().await;
    bench.receivers.set(HUB, |_, _| Manner::Down);
    bench.receivers.set(HOOK, |_, _| Manner::Takes(204));
    let engine = bench.telling(HUB).await;
    add_hook(&engine, HOOK, &[]).await;
    for _ in 0..20 {
        create(&bench, &engine).await;
    }
    for _ in 0..50 {
        deliver(&engine).await;
    }
    assert_eq!(bench.receivers.asked(HUB), 1);
    // The other sink has everything meanwhile.
    assert_exact(&bench, &engine, HOOK).await;
    let hub = engine.sinks().await.unwrap().pop().unwrap();
    assert_eq!((hub.waiting, hub.dead), (20, 0));
    assert!(hub.paused_until.is_some() && hub.last_error.unwrap().contains("refused"));
    // For a day the pauses grow to five minutes.
    for _ in 0..24 * 60 {
        bench.clock.advance(SECOND * 60);
        deliver(&engine).await;
    }
    let asked = bench.receivers.asked(HUB);
    assert!((250..=600).contains(&asked), "{asked}");
    bench.receivers.set(HUB, |_, _| Manner::Takes(201));
    bench.clock.advance(SECOND * 300);
    while deliver(&engine).await.unfinished {}
    assert_exact(&bench, &engine, HUB).await;
    assert_eq!(engine.sinks().await.unwrap().pop().unwrap().last_error, None);
}

#[tokio::test]
async fn a_wish_to_be_left_alone_is_granted() {
    let bench = Bench::new().await;
    bench.receivers.set(HUB, |_, _| Manner::Wishes(429, 120));
    let engine = bench.telling(HUB).await;
    create(&bench, &engine).await;
    create(&bench, &engine).await;
    deliver(&engine).await;
    bench.receivers.set(HUB, |_, _| Manner::Takes(201));
    bench.clock.advance(SECOND * 119);
    deliver(&engine).await;
    assert_eq!(bench.receivers.asked(HUB), 1);
    bench.clock.advance(SECOND);
    while deliver(&engine).await.unfinished {}
    assert_exact(&bench, &engine, HUB).await;
}

#[tokio::test]
async fn what_was_taken_without_saying_so_is_sent_again_under_the_same_key() {
    for manner in [Manner::TakesAndFails, Manner::TakesAndCuts] {
        let bench = Bench::new().await;
        let odd = manner.clone();
        bench.receivers.set(HUB, move |count, _| {
            if count % 2 == 0 {
                odd.clone()
            } else {
                Manner::Takes(201)
            }
        });
        bench.receivers.set(HOOK, move |count, _| {
            if count % 3 == 0 {
                manner.clone()
            } else {
                Manner::Takes(201)
            }
        });
        let engine = bench.telling(HUB).await;
        add_hook(&engine, HOOK, &[]).await;
        for _ in 0..5 {
            let id = create(&bench, &engine).await;
            engine.destroy(&id, &Silent).await.unwrap();
        }
        settle(&bench, &engine).await;
        for url in [HUB, HOOK] {
            assert_exact(&bench, &engine, url).await;
            let received = bench.receivers.received(url);
            assert!(received.len() > 25, "{url} was never sent anything twice");
        }
        let header = |one: &sandboxer_world::Received| one.header("webhook-id").to_owned();
        let mut ids: Vec<String> = bench.receivers.received(HOOK).iter().map(header).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 25);
    }
}

#[tokio::test]
async fn a_hub_that_has_it_already_or_keeps_it_for_later_has_it() {
    for status in [200, 202, 409] {
        let bench = Bench::new().await;
        bench.receivers.set(HUB, move |_, _| Manner::Takes(status));
        let engine = bench.telling(HUB).await;
        create(&bench, &engine).await;
        assert_eq!(deliver(&engine).await.sent, 3);
        assert_eq!(engine.sinks().await.unwrap()[0].waiting, 0);
    }
}

#[tokio::test]
async fn an_event_that_is_refused_holds_up_its_own_sandbox_only_and_is_given_up_at_last() {
    let bench = Bench::new().await;
    let engine = bench.telling(HUB).await;
    let bad = create(&bench, &engine).await;
    let poison = bad.clone();
    bench.receivers.set(HUB, move |_, request| {
        let body = String::from_utf8_lossy(&request.body);
        match body.contains(&poison) && body.contains("state.provisioning") {
            true => Manner::Refuses(422),
            false => Manner::Takes(201),
        }
    });
    for _ in 0..10 {
        create(&bench, &engine).await;
    }
    deliver(&engine).await;
    let of = |id: &str| {
        let told = bench.receivers.received(HUB);
        told.iter()
            .filter(|one| one.header("idempotency-key").starts_with(id))
            .count()
    };
    assert_eq!((of(&bad), bench.receivers.received(HUB).len()), (1, 31));
    settle(&bench, &engine).await;
    let hub = engine.sinks().await.unwrap().pop().unwrap();
    assert_eq!((hub.waiting, hub.dead), (0, 1));
    assert_eq!(bench.receivers.asked(HUB), 31 + 12);
    // Whoever looks sees which events that are.
    let listed = engine.listed_events(Some(&bad)).await.unwrap();
    let state: Vec<_> = listed
        .iter()
        .map(|one| one.undelivered.get("state-hub").copied())
        .collect();
    assert_eq!(state, [None, Some(Waiting::GivenUp), Some(Waiting::GivenUp)]);
    // New events of the sandbox wait behind it, for as long as it takes.
    engine.destroy(&bad, &Silent).await.unwrap();
    bench.clock.advance(SECOND * 3600 * 24 * 30);
    deliver(&engine).await;
    assert_eq!(of(&bad), 1);
    bench.receivers.set(HUB, |_, _| Manner::Takes(201));
    let back = engine.redeliver(Some("state-hub"), Some(&bad)).await.unwrap();
    assert_eq!(back.due, 1);
    deliver(&engine).await;
    assert_exact(&bench, &engine, HUB).await;
    assert_eq!(engine.redeliver(None, None).await.unwrap().due, 0);
}

#[tokio::test]
async fn an_outage_is_given_up_after_days_and_brought_back_in_order() {
    let bench = Bench::new().await;
    bench.receivers.set(HOOK, |_, _| Manner::Down);
    let engine = bench.engine();
    let hook = add_hook(&engine, HOOK, &[]).await;
    let id = create(&bench, &engine).await;
    for _ in 0..71 {
        deliver(&engine).await;
        bench.clock.advance(SECOND * 3600);
    }
    assert_eq!(
        engine.sinks().await.unwrap()[0].dead,
        0,
        "given up before three days were over"
    );
    for _ in 0..3 {
        bench.clock.advance(SECOND * 3600);
        deliver(&engine).await;
    }
    assert_eq!(engine.sinks().await.unwrap()[0].dead, 1);
    engine.destroy(&id, &Silent).await.unwrap();
    bench.receivers.set(HOOK, |_, _| Manner::Takes(200));
    assert_eq!(engine.redeliver(Some(&hook[..12]), None).await.unwrap().due, 1);
    deliver(&engine).await;
    assert_exact(&bench, &engine, HOOK).await;
}

#[tokio::test]
async fn a_webhook_that_is_gone_is_disabled_and_says_why() {
    let bench = Bench::new().await;
    bench.receivers.set(HOOK, |_, _| Manner::Refuses(410));
    let engine = bench.engine();
    let hook = add_hook(&engine, HOOK, &[]).await;
    for _ in 0..10 {
        create(&bench, &engine).await;
    }
    settle_disabled(&bench, &engine).await;
    assert_eq!(bench.receivers.asked(HOOK), 1);
    let shown = engine.list_webhooks().await.unwrap().pop().unwrap();
    assert_eq!(shown.sink.state, SinkState::Disabled);
    assert!(shown.sink.reason.unwrap().contains("410"));
    bench.receivers.set(HOOK, |_, _| Manner::Takes(200));
    let back = engine.redeliver(Some(&hook), None).await.unwrap();
    assert_eq!((back.due, back.enabled), (10, vec![hook.clone()]));
    settle(&bench, &engine).await;
    assert_exact(&bench, &engine, HOOK).await;
    engine.remove_webhook(&hook).await.unwrap();
    create(&bench, &engine).await;
    assert_eq!(deliver(&engine).await, Delivered::default());
    assert!(engine.sinks().await.unwrap().is_empty());
}

async fn settle_disabled(bench: &Bench, engine: &Engine) {
    for _ in 0..100 {
        deliver(engine).await;
        bench.clock.advance(SECOND * 600);
    }
}

#[tokio::test]
async fn a_webhook_gets_the_kinds_it_chose_and_no_other() {
    let bench = Bench::new().await;
    bench.receivers.set(HOOK, |_, _| Manner::Takes(200));
    let engine = bench.engine();
    add_hook(&engine, HOOK, &["state.ready", "labels.*"]).await;
    let id = create(&bench, &engine).await;
    engine.label(&id, one("a", "b"), Vec::new()).await.unwrap();
    engine.destroy(&id, &Silent).await.unwrap();
    assert_eq!(deliver(&engine).await.sent, 2);
    let kinds: Vec<String> = bench
        .receivers
        .received(HOOK)
        .iter()
        .map(|one| one.json()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["state.ready", "labels.changed"]);
    assert_eq!(engine.sinks().await.unwrap()[0].waiting, 0);
}

#[tokio::test]
async fn whoever_is_in_a_hurry_leaves_a_slow_sink_to_others() {
    let bench = Bench::new().await;
    bench.receivers.set(HUB, |_, _| Manner::Slow(SECOND));
    bench.receivers.set(HOOK, |_, _| Manner::Takes(200));
    let engine = bench.telling(HUB).await;
    add_hook(&engine, HOOK, &[]).await;
    create(&bench, &engine).await;
    let brief = async || engine.deliver(DeliverLimits::brief()).await.unwrap();
    assert!(brief().await.unfinished);
    assert_eq!(bench.receivers.asked(HUB), 1);
    assert_exact(&bench, &engine, HOOK).await;
    for _ in 0..10 {
        create(&bench, &engine).await;
        assert!(brief().await.unfinished);
    }
    assert_eq!(bench.receivers.asked(HUB), 1, "it was asked again within a minute");
    assert_exact(&bench, &engine, HOOK).await;
    // Who has the time finds nothing that counts against it.
    while deliver(&engine).await.unfinished {}
    assert_exact(&bench, &engine, HUB).await;
}

#[tokio::test]
async fn another_process_goes_on_where_a_dead_one_stopped() {
    let bench = Bench::new().await;
    bench.receivers.set(HUB, |_, _| Manner::Takes(201));
    let engine = bench.telling(HUB).await;
    create(&bench, &engine).await;
    // A process took it up, and is at it.
    let other = bench.owners.another("other");
    bench.store.spread_outbox().await.unwrap();
    let claims = bench.store.claim("state-hub", "other", 8, &|_| false).await.unwrap();
    assert_eq!(claims.len(), 1);
    assert_eq!(deliver(&engine).await.sent, 0);
    other.die();
    assert_eq!(deliver(&engine).await.sent, 3);
    // The other was only slow: what it reports is not believed.
    let mut stale = claims[0].clone();
    let advance = bench
        .store
        .advance(&mut stale, 1, sandboxer_store::Hold::Keep)
        .await
        .unwrap();
    assert_eq!(advance, sandboxer_store::Advance::Lost);
    // One that cannot be asked is believed for a minute.
    create(&bench, &engine).await;
    bench.store.spread_outbox().await.unwrap();
    bench.store.claim("state-hub", "far away", 8, &|_| false).await.unwrap();
    bench.clock.advance(SECOND * 59);
    assert_eq!(deliver(&engine).await.sent, 0);
    bench.clock.advance(SECOND);
    assert_eq!(deliver(&engine).await.sent, 3);
    assert_exact(&bench, &engine, HUB).await;
}

#[tokio::test]
async fn a_calendar_that_jumps_back_stops_nothing() {
    let bench = Bench::new().await;
    bench.receivers.set(HUB, |_, _| Manner::Down);
    let engine = bench.telling(HUB).await;
    create(&bench, &engine).await;
    deliver(&engine).await;
    bench.clock.jump(jiff::SignedDuration::from_hours(-24 * 365));
    bench.receivers.set(HUB, |_, _| Manner::Takes(201));
    settle(&bench, &engine).await;
    assert_exact(&bench, &engine, HUB).await;
}

#[tokio::test]
async fn webhooks_that_make_no_sense_are_refused() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    for kind in [
        "",
        "state",
        "State.ready",
        "state.",
        ".ready",
        "*",
        "state.re*",
        "a b.c",
        &"x".repeat(99),
    ] {
        let new = AddWebhook {
            url: HOOK.to_owned(),
            events: vec![kind.to_owned()],
        };
        let error = engine.add_webhook(&new).await.unwrap_err();
        assert_eq!(error.code.name(), "invalid_input", "{kind}");
    }
    add_hook(&engine, HOOK, &[]).await;
    let again = AddWebhook {
        url: HOOK.to_owned(),
        events: Vec::new(),
    };
    assert_eq!(engine.add_webhook(&again).await.unwrap_err().code.name(), "wrong_state");
    for id in ["", "hook-", "nope", "state-hub", "hook-'; DROP TABLE sink"] {
        assert!(engine.remove_webhook(id).await.is_err(), "{id}");
    }
}
