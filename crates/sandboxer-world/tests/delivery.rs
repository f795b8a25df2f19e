//! A hundred thousand events to receivers that are down, slow, doubling, and failing after they took something: what each
//! of them knows in the end is exactly what happened.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sandboxer_engine::api::{AddWebhook, DeliverLimits};
use sandboxer_engine::catalog::{Catalog, Layers};
use sandboxer_engine::{Engine, Ports, Settings};
use sandboxer_extension::Registry;
use sandboxer_extension::port::{Clock, IdSource as _};
use sandboxer_model::id::{EventId, SandboxId};
use sandboxer_model::lifecycle::State;
use sandboxer_model::money::Meter;
use sandboxer_model::operation::Epoch;
use sandboxer_model::profile::{Profile, Scope, Strategy};
use sandboxer_model::route::RouteDecision;
use sandboxer_model::sandbox::{Consumer, Sandbox};
use sandboxer_store::{Change, Durability, Facts, Frozen, NewEvent, SandboxRecord, Store};
use sandboxer_world::{Manner, Receivers, TestClock, TestIds, TestOwners, wrong_histories};

const HUB: &str = "http://hub";
const HOOK: &str = "https://hook";
const SANDBOXES: usize = 1000;
const COMMITS: usize = 25;
const EVENTS_PER_COMMIT: usize = 4;

/// The finaliser of splitmix64: the same misbehaviour in every run.
fn noise(seed: u64, count: u64) -> u64 {
    let value = seed.rotate_left(32) ^ count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Down for five minutes of every half hour; in between one in twenty goes wrong, in every way there is.
fn manner(clock: &TestClock, seed: u64, count: u64) -> Manner {
    if clock.monotonic().as_secs() % 1800 < 300 {
        return Manner::Down;
    }
    match noise(seed, count) % 400 {
        0..4 => Manner::TakesAndFails,
        4..8 => Manner::TakesAndCuts,
        8..12 => Manner::Refuses(503),
        12..14 => Manner::Refuses(400),
        14 => Manner::Wishes(429, 30),
        15..17 => Manner::Slow(Duration::from_millis(200)),
        17 => Manner::Slow(Duration::from_secs(60)),
        18..20 => Manner::Takes(409),
        _ => Manner::Takes(201),
    }
}

fn record(id: SandboxId, clock: &TestClock) -> SandboxRecord {
    let now = clock.now();
    let sandbox = Sandbox {
        sandbox_id: id,
        state: State::Requested,
        reason: None,
        profile_id: "profile.test".to_owned(),
        profile_version: "1.0.0".to_owned(),
        profile_digest: "blake3:0".to_owned(),
        extension_id: None,
        host: None,
        consumer: Consumer::default(),
        scope: Scope::Session,
        labels: BTreeMap::new(),
        inputs: BTreeMap::new(),
        reachability: None,
        isolation: None,
        ttl: "4h".parse().unwrap(),
        expires_at: None,
        meter: Meter::default(),
        telemetry: None,
        created_at: now,
        ready_at: None,
        active_at: None,
        destroyed_at: None,
        updated_at: now,
        error: None,
        cleanup: None,
        operation_id: None,
        generation: 1,
        epoch: Epoch(1),
    };
    SandboxRecord::new(sandbox, Facts::default())
}

/// One process: an engine over the store that all share.
fn process(store: &Store, clock: &Arc<TestClock>, receivers: &Arc<Receivers>, owners: TestOwners, seed: u64) -> Engine {
    let ports = Ports {
        clock: clock.clone(),
        ids: Arc::new(TestIds::new(seed)),
        owners: Arc::new(owners),
        store: store.clone(),
        extensions: Registry::new(),
        outbound: Some(receivers.clone()),
    };
    let settings = Settings {
        state_hub: Some(HUB.to_owned()),
        ..Settings::default()
    };
    Engine::new(ports, Catalog::new(Layers::default()), settings)
}

async fn round(engine: &Engine) -> u64 {
    let delivered = engine.deliver(DeliverLimits::patient()).await.unwrap();
    delivered.sent + delivered.failed
}

async fn happen(store: &Store, ids: &TestIds, clock: &TestClock, records: &mut [SandboxRecord]) {
    for record in records {
        let event = |_| NewEvent {
            event_id: EventId::from_uuid(ids.uuid()),
            at: clock.now(),
            kind: "progress.made".to_owned(),
            state: State::Requested,
            reason: None,
            summary: "something happened".to_owned(),
            detail: serde_json::json!({ "what": "a test" }),
        };
        let change = Change {
            frozen: (!record.is_stored()).then(|| Frozen {
                profile: Profile::new("profile.test", "ext.test"),
                profile_source: "test".to_owned(),
                route: RouteDecision {
                    strategy: Strategy::Explicit,
                    candidates: Vec::new(),
                },
            }),
            events: (0..EVENTS_PER_COMMIT).map(event).collect(),
            durability: Durability::CrashOnly,
            ..Change::default()
        };
        store.commit(record, &change).await.unwrap();
    }
}

#[tokio::test]
async fn a_hundred_thousand_events_arrive_exactly() {
    let clock = Arc::new(TestClock::new());
    let ids = TestIds::new(1);
    let receivers = Arc::new(Receivers::new(clock.clone()));
    for (seed, url) in [(1, HUB), (2, HOOK)] {
        let clock = clock.clone();
        receivers.set(url, move |count, _| manner(&clock, seed, count));
    }
    let store = Store::open_in_memory(clock.clone(), Arc::new(TestIds::new(2)))
        .await
        .unwrap();
    let owners = TestOwners::new("first");
    // Three processes, of which one dies now and then in the middle of its work.
    let steady = process(&store, &clock, &receivers, owners.clone(), 3);
    let second = process(&store, &clock, &receivers, owners.another("second"), 4);
    steady.announce().await.unwrap();
    let webhook = AddWebhook {
        url: HOOK.to_owned(),
        events: Vec::new(),
    };
    steady.add_webhook(&webhook).await.unwrap();
    let mut records: Vec<SandboxRecord> = (0..SANDBOXES)
        .map(|_| record(SandboxId::from_uuid(ids.uuid()), &clock))
        .collect();
    let mut rounds: u64 = 0;
    for commit in 0..COMMITS {
        happen(&store, &ids, &clock, &mut records).await;
        let mortal_name = format!("mortal {commit}");
        let mortal = process(
            &store,
            &clock,
            &receivers,
            owners.another(&mortal_name),
            5 + commit as u64,
        );
        tokio::select! {
            biased;
            // It is dropped wherever it is when the others are done with a round.
            _ = async { loop { if round(&mortal).await == 0 { std::future::pending::<()>().await } } } => {}
            _ = async { tokio::join!(round(&steady), round(&second)) } => {}
        }
        owners.another(&mortal_name).die();
        clock.advance(Duration::from_secs(240));
        rounds += 1;
    }
    while steady.sinks().await.unwrap().iter().any(|one| one.waiting > 0) {
        let sent = tokio::join!(round(&steady), round(&second));
        if sent == (0, 0) {
            clock.advance(Duration::from_secs(30));
        }
        rounds += 1;
        assert!(
            rounds < 20_000,
            "it never comes to rest: {:#?}",
            steady.sinks().await.unwrap()
        );
    }
    let events = steady.events(None).await.unwrap();
    assert_eq!(events.len(), SANDBOXES * COMMITS * EVENTS_PER_COMMIT);
    for sink in steady.sinks().await.unwrap() {
        assert_eq!((sink.dead, sink.waiting), (0, 0), "{sink:#?}");
    }
    for url in [HUB, HOOK] {
        let received = receivers.received(url);
        let wrong = wrong_histories(&received, &events);
        assert!(wrong.is_empty(), "{url}: {:#?}", &wrong[..wrong.len().min(10)]);
        assert!(received.len() > events.len(), "nothing was ever sent twice to {url}");
        println!(
            "{url}: {} events, {} requests, {} taken",
            events.len(),
            receivers.asked(url),
            received.len()
        );
    }
    println!("{rounds} rounds, {:?} of virtual time", clock.monotonic());
}
