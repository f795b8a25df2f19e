//! Turns of reconcilers in the store: one winner of a claim, however many claim at once, and what was seen once.

mod support;

use std::sync::{Arc, Barrier};
use std::time::Duration;

use sandboxer_extension::port::{Clock as _, SystemClock};
use sandboxer_model::lifecycle::State;
use sandboxer_store::Change;
use support::{first, memory, open, record};

const NAME: &str = "observe_backends";

#[tokio::test]
async fn of_many_that_claim_a_turn_at_once_one_has_it() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).await.unwrap());
    for round in 0..10 {
        let barrier = Arc::new(Barrier::new(8));
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let (home, barrier) = (dir.path().to_owned(), barrier.clone());
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .unwrap();
                    runtime.block_on(async {
                        let store = open(&home).await.unwrap();
                        let seen = store.turns().await.unwrap().pop();
                        barrier.wait();
                        let until = SystemClock.now() + Duration::from_secs(60);
                        let me = format!("process-{number}");
                        store.claim_turn(NAME, seen.as_ref(), &me, until).await.unwrap()
                    })
                })
            })
            .collect();
        let claims: Vec<_> = threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!(claims.len(), 1, "round {round}");
        let store = open(dir.path()).await.unwrap();
        for claim in claims {
            // Given back once; a second time somebody else may have it.
            assert!(store.give_back(claim.clone(), "{}", SystemClock.now()).await.unwrap());
            assert!(!store.give_back(claim, "{}", SystemClock.now()).await.unwrap());
        }
    }
}

#[tokio::test]
async fn what_was_seen_keeps_its_first_time_until_it_is_seen_otherwise() {
    let store = memory().await;
    let seen = [("a".to_owned(), "why".to_owned())];
    store.note_sightings("lost", &seen, &[]).await.unwrap();
    let once = store.sightings("lost").await.unwrap();
    store.note_sightings("lost", &seen, &[]).await.unwrap();
    let twice = store.sightings("lost").await.unwrap();
    assert_eq!((once[0].times, twice[0].times), (1, 2));
    assert_eq!(once[0].first_at, twice[0].first_at);
    assert_eq!(store.sightings("orphan").await.unwrap(), []);
    store.note_sightings("lost", &[], &["a".to_owned()]).await.unwrap();
    assert_eq!(store.sightings("lost").await.unwrap(), []);
}

#[tokio::test]
async fn proof_of_life_never_moves_back() {
    let store = memory().await;
    let mut record = record();
    store.commit(&mut record, &first()).await.unwrap();
    let (id, now) = (record.sandbox.sandbox_id.clone(), SystemClock.now());
    let later = now + Duration::from_secs(5);
    for at in [now, later, now] {
        store.note_alive(std::slice::from_ref(&id), at).await.unwrap();
    }
    let seen = store.last_seen_alive(&id).await.unwrap().unwrap();
    assert_eq!(seen.as_microsecond(), later.as_microsecond());
    assert_eq!(
        store.seen_alive().await.unwrap().len(),
        0,
        "only what can be used is asked about"
    );
    for state in [State::Provisioning, State::Ready] {
        record.sandbox.state = state;
        store.commit(&mut record, &Change::default()).await.unwrap();
    }
    assert_eq!(store.seen_alive().await.unwrap().keys().collect::<Vec<_>>(), [&id]);
}

#[tokio::test]
async fn another_connection_that_writes_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, other) = (open(dir.path()).await.unwrap(), open(dir.path()).await.unwrap());
    let before = mine.data_version().await.unwrap();
    assert_eq!(mine.data_version().await.unwrap(), before);
    other.commit(&mut record(), &first()).await.unwrap();
    assert_ne!(mine.data_version().await.unwrap(), before);
}
