//! A store that many share: what they write goes to disk together, each hears what came of their own, and nobody waits for
//! a sync to read.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::future::Future as _;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use sandboxer_extension::port::{SystemClock, SystemIds};
use sandboxer_model::lifecycle::State;
use sandboxer_store::{AuditEntry, Begun, Change, RequestKey, SandboxFilter, Store, StoreError, Viewer};
use support::{event, first, record};

async fn shared(dir: &Path) -> Store {
    Store::open_shared(dir, Arc::new(SystemClock), Arc::new(SystemIds))
        .await
        .unwrap()
}

fn moved(state: State) -> Change {
    Change {
        events: vec![event(state)],
        ..Change::default()
    }
}

#[tokio::test]
async fn of_many_commits_at_once_each_hears_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = shared(dir.path()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..200u32 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut mine = record();
            if at % 4 == 0 {
                // Of fifty with this scope one is made.
                mine.facts.scope_key = Some("s".to_owned());
            }
            match store.commit(&mut mine, &first()).await {
                Ok(()) => {}
                Err(StoreError::ScopeTaken(_)) if at % 4 == 0 => return (0, 1),
                Err(error) => panic!("{error}"),
            }
            let id = mine.sandbox.sandbox_id.clone();
            // What was acknowledged is read at once.
            assert_eq!(store.sandbox(&id).await.unwrap(), mine);
            if at % 4 == 1 {
                let mut newer = store.sandbox(&id).await.unwrap();
                newer.sandbox.epoch = newer.sandbox.epoch.next();
                store.commit(&mut newer, &Change::default()).await.unwrap();
                mine.sandbox.state = State::Provisioning;
                let late = store.commit(&mut mine, &moved(State::Provisioning)).await;
                assert_eq!(late, Err(StoreError::Fenced(id.clone())));
                assert_eq!(store.sandbox(&id).await.unwrap(), newer);
            } else {
                mine.sandbox.state = State::Provisioning;
                store.commit(&mut mine, &moved(State::Provisioning)).await.unwrap();
            }
            (1, 0)
        });
    }
    let (mut made, mut refused) = (0, 0);
    while let Some(one) = tasks.join_next().await {
        let (is_made, is_refused) = one.unwrap();
        made += is_made;
        refused += is_refused;
    }
    assert_eq!((made, refused), (151, 49));
    assert_eq!(store.sandboxes(&SandboxFilter::default()).await.unwrap().len(), 151);
    // One event each, and one more for those that were not fenced: no gap where somebody was refused.
    let events = store.events_after(0, 1_000, &Viewer::default()).await.unwrap();
    let places: Vec<_> = events.iter().map(|one| one.position).collect();
    assert_eq!(places, (1..=151 + 101).collect::<Vec<u64>>());
    assert_eq!(store.examine().await.unwrap(), []);
}

#[test]
fn threads_of_a_runtime_block_each_other_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = shared(dir.path()).await;
        let mut tasks = tokio::task::JoinSet::new();
        for at in 0..60 {
            let store = store.clone();
            tasks.spawn(async move {
                let mut mine = record();
                store.commit(&mut mine, &first()).await.unwrap();
                store.record(AuditEntry::default()).await.unwrap();
                // These block their thread for the connection that writes.
                store.claim("nobody", "me", 3, &|_| false).await.unwrap();
                store
                    .note_alive(std::slice::from_ref(&mine.sandbox.sandbox_id), mine.sandbox.created_at)
                    .await
                    .unwrap();
                let request = RequestKey {
                    key: format!("k{at}"),
                    digest: "d".to_owned(),
                };
                let begun = store.begin_request(&request, "me", &|_| false).await.unwrap();
                assert_eq!(begun, Begun::New);
                store.end_request(&request.key, 200, "").await.unwrap();
                store.data_version().await.unwrap();
            });
        }
        while let Some(one) = tasks.join_next().await {
            one.unwrap();
        }
        let verdict = store.verify_audit().await.unwrap();
        assert_eq!((verdict.intact, verdict.rows), (true, 60));
    });
}

#[tokio::test]
async fn a_caller_that_goes_away_finds_its_commit_done_or_never_done() {
    let dir = tempfile::tempdir().unwrap();
    let store = shared(dir.path()).await;
    let mut left = Vec::new();
    for _ in 0..50 {
        let mut mine = record();
        let id = mine.sandbox.sandbox_id.clone();
        {
            let change = first();
            let mut commit = pin!(store.commit(&mut mine, &change));
            let _ = commit.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        left.push((id.clone(), store.sandbox(&id).await.is_ok()));
    }
    // Nothing happens any more behind the caller's back.
    let mut last = record();
    store.commit(&mut last, &first()).await.unwrap();
    for (id, was_there) in left {
        assert_eq!(store.sandbox(&id).await.is_ok(), was_there);
    }
}

#[tokio::test]
async fn what_sqlite_undoes_as_a_whole_is_an_error_for_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let store = shared(dir.path()).await;
    let mut known = record();
    store.commit(&mut known, &first()).await.unwrap();
    // Whoever writes this undoes the transaction it is in.
    rusqlite::Connection::open(dir.path().join("sandboxer.db"))
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER undo BEFORE INSERT ON audit WHEN NEW.action = 'undo' \
             BEGIN SELECT RAISE(ROLLBACK, 'undone'); END",
        )
        .unwrap();
    let undo = AuditEntry {
        action: "undo".to_owned(),
        ..AuditEntry::default()
    };
    let other = rusqlite::Connection::open(dir.path().join("sandboxer.db")).unwrap();
    let mut failed = 0;
    for _ in 0..5 {
        // Nothing is written before all of it waits.
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut tasks = Vec::new();
        for _ in 0..10 {
            let store = store.clone();
            tasks.push(tokio::spawn(async move {
                let mut mine = record();
                let written = store.commit(&mut mine, &first()).await.is_ok();
                assert_eq!(store.sandbox(&mine.sandbox.sandbox_id).await.is_ok(), written);
                u32::from(!written)
            }));
        }
        let (store, undo) = (store.clone(), undo.clone());
        let undone = tokio::spawn(async move { store.record(undo).await });
        // Each of them has asked once they all had their turn.
        tokio::task::yield_now().await;
        other.execute_batch("ROLLBACK").unwrap();
        assert!(undone.await.unwrap().is_err());
        for one in tasks {
            failed += one.await.unwrap();
        }
    }
    assert!(failed > 0);
    store.commit(&mut known, &Change::default()).await.unwrap();
}

#[tokio::test]
async fn what_this_process_writes_is_no_news_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = shared(dir.path()).await;
    let before = store.data_version().await.unwrap();
    store.commit(&mut record(), &first()).await.unwrap();
    assert_eq!(store.data_version().await.unwrap(), before);
    let other = support::open(dir.path()).await.unwrap();
    other.commit(&mut record(), &first()).await.unwrap();
    assert_ne!(store.data_version().await.unwrap(), before);
}
