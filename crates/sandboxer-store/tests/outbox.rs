//! What is still to be sent: kept per sink and sandbox, and gone when it was.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by it")]

mod support;

use sandboxer_extension::port::{Clock as _, SystemClock};
use sandboxer_model::lifecycle::State;
use sandboxer_model::sink::{Sink, SinkKind, SinkState};
use sandboxer_store::{Advance, Change, Hold, SandboxRecord, Secret, Setback, Store};
use support::{event, first, memory, open, record};

fn sink(id: &str) -> Sink {
    Sink {
        sink_id: id.to_owned(),
        kind: SinkKind::Webhook,
        url: format!("https://{id}.example/"),
        events: Vec::new(),
        state: SinkState::Active,
        reason: None,
        added_at: SystemClock.now(),
    }
}

async fn happen(store: &Store, record: &mut SandboxRecord) {
    let change = Change {
        events: vec![event(State::Requested)],
        ..if record.is_stored() { Change::default() } else { first() }
    };
    store.commit(record, &change).await.unwrap();
}

/// Sends everything that is due for a sink; returns the numbers of what was sent.
async fn drain(store: &Store, sink: &str) -> Vec<u64> {
    while store.spread_outbox().await.unwrap() {}
    let mut sent = Vec::new();
    for mut claim in store.claim(sink, "me", 100, &|_| false).await.unwrap() {
        for event in store.next_events(&claim, 100).await.unwrap() {
            sent.push(event.seq);
            let hold = if event.seq == claim.target {
                Hold::Release
            } else {
                Hold::Keep
            };
            store.advance(&mut claim, event.seq, hold).await.unwrap();
        }
    }
    sent
}

#[tokio::test]
async fn nothing_is_kept_for_nobody() {
    let store = memory().await;
    let mut one = record();
    happen(&store, &mut one).await;
    assert!(store.undelivered(None).await.unwrap().is_empty());
    assert!(store.outstanding(true).await.unwrap().sinks.is_empty());
    store.keep_sink(&sink("a"), None).await.unwrap();
    assert!(store.outstanding(true).await.unwrap().sinks.is_empty());
    happen(&store, &mut one).await;
    let outstanding = store.outstanding(true).await.unwrap();
    assert!(outstanding.fresh && outstanding.sinks.len() == 1);
    assert_eq!(drain(&store, "a").await, [2]);
    // What is done leaves nothing behind.
    assert!(store.undelivered(None).await.unwrap().is_empty());
    assert!(store.outstanding(true).await.unwrap().sinks.is_empty());
    happen(&store, &mut one).await;
    store.remove_sink("a").await.unwrap();
    store.keep_sink(&sink("b"), None).await.unwrap();
    assert_eq!(drain(&store, "b").await, [0_u64; 0]);
}

#[tokio::test]
async fn each_sink_has_a_place_of_its_own_and_what_comes_meanwhile_is_not_missed() {
    let store = memory().await;
    store.keep_sink(&sink("a"), None).await.unwrap();
    let mut one = record();
    happen(&store, &mut one).await;
    store.keep_sink(&sink("b"), None).await.unwrap();
    happen(&store, &mut one).await;
    assert_eq!(drain(&store, "b").await, [2]);
    store.spread_outbox().await.unwrap();
    let mut claim = store.claim("a", "me", 1, &|_| false).await.unwrap().pop().unwrap();
    assert_eq!((claim.delivered, claim.target), (0, 2));
    // Another happens while these are on their way.
    happen(&store, &mut one).await;
    store.spread_outbox().await.unwrap();
    assert_eq!(
        store.advance(&mut claim, 2, Hold::Release).await.unwrap(),
        Advance::More
    );
    assert_eq!(drain(&store, "a").await, [3]);
    assert_eq!(drain(&store, "b").await, [3]);
}

#[tokio::test]
async fn a_claim_is_held_by_one_and_lost_to_whoever_takes_it() {
    let store = memory().await;
    store.keep_sink(&sink("a"), None).await.unwrap();
    let mut one = record();
    happen(&store, &mut one).await;
    happen(&store, &mut one).await;
    store.spread_outbox().await.unwrap();
    let mut slow = store.claim("a", "slow", 9, &|_| false).await.unwrap().pop().unwrap();
    assert!(store.claim("a", "me", 9, &|_| false).await.unwrap().is_empty());
    let mut mine = store
        .claim("a", "me", 9, &|owner| owner == "slow")
        .await
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(store.advance(&mut slow, 1, Hold::Keep).await.unwrap(), Advance::Lost);
    store.set_back(&slow, &Setback::LetGo).await.unwrap();
    assert!(store.claim("a", "third", 9, &|_| false).await.unwrap().is_empty());
    assert_eq!(store.advance(&mut mine, 1, Hold::Keep).await.unwrap(), Advance::More);
    assert_eq!(store.advance(&mut mine, 2, Hold::Release).await.unwrap(), Advance::Done);
}

#[tokio::test]
async fn what_was_given_up_waits_until_it_is_brought_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    let secret = Secret("whsec_x".to_owned());
    store.keep_sink(&sink("a"), Some(&secret)).await.unwrap();
    let mut one = record();
    happen(&store, &mut one).await;
    store.spread_outbox().await.unwrap();
    let claim = store.claim("a", "me", 9, &|_| false).await.unwrap().pop().unwrap();
    let why = "it said no".to_owned();
    store
        .set_back(&claim, &Setback::GiveUp { why: why.clone() })
        .await
        .unwrap();
    happen(&store, &mut one).await;
    drop(store);
    let store = open(dir.path()).await.unwrap();
    assert_eq!(drain(&store, "a").await, [0_u64; 0]);
    let left = store
        .undelivered(Some(&one.sandbox.sandbox_id))
        .await
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!((left.delivered, left.dead, left.error), (0, true, Some(why)));
    let status = store.sinks().await.unwrap().pop().unwrap();
    assert_eq!((status.waiting, status.dead), (0, 1));
    assert!(store.bring_back(Some("nobody"), None).await.is_err());
    assert_eq!(store.bring_back(Some("a"), None).await.unwrap(), 1);
    assert_eq!(drain(&store, "a").await, [1, 2]);
    assert_eq!(store.sink("a").await.unwrap().secret, Some(secret.clone()));
    assert!(!format!("{secret:?}").contains("whsec"));
}

#[tokio::test]
async fn of_many_who_find_a_pause_over_one_may_try() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    store.keep_sink(&sink("a"), None).await.unwrap();
    happen(&store, &mut record()).await;
    store.pause_sink("a", SystemClock.now(), "gone").await.unwrap();
    let later = SystemClock.now() + std::time::Duration::from_secs(30);
    let comers = (0..8).map(|_| {
        let path = dir.path().to_owned();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let store = open(&path).await.unwrap();
                match store.outstanding(true).await.unwrap().sinks.pop() {
                    Some(due) => usize::from(store.may_try(&due, later).await.unwrap()),
                    None => 0,
                }
            })
        })
    });
    let comers: Vec<_> = comers.collect();
    assert_eq!(comers.into_iter().map(|one| one.join().unwrap()).sum::<usize>(), 1);
    assert!(store.outstanding(true).await.unwrap().sinks.is_empty());
    store.trust_sink("a").await.unwrap();
    assert_eq!(store.outstanding(true).await.unwrap().sinks.len(), 1);
}
