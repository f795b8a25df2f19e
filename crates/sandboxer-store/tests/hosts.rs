//! Hosts in the store: what is held of them is in the same transaction as the sandbox, and an older store is led up.

#![expect(clippy::unwrap_used, reason = "a test may stop")]

mod support;

use std::path::Path;
use std::sync::{Arc, Barrier};

use sandboxer_extension::port::{Clock as _, SystemClock};
use sandboxer_model::lifecycle::State;
use sandboxer_model::registry::{Capacity, Host, HostState, Reservation, Share, Watermarks};
use sandboxer_store::{Change, SandboxRecord, Store, StoreError};
use support::{event, first, memory, open, record};

fn host(name: &str, slots: Option<u64>) -> Host {
    Host {
        name: name.to_owned(),
        address: name.parse().unwrap(),
        state: HostState::Active,
        labels: Default::default(),
        capacity: Capacity {
            slots,
            ..Capacity::default()
        },
        watermarks: Watermarks::default(),
        probe: None,
        unreachable: None,
        unreachable_since: None,
        probe_after: None,
        added_at: SystemClock.now(),
    }
}

fn on(host: &str) -> SandboxRecord {
    let mut record = record();
    record.sandbox.host = Some(host.to_owned());
    record.facts.address = Some(host.to_owned());
    record.facts.reservation = Some(Reservation {
        host: host.to_owned(),
        share: Share {
            slots: 1,
            memory_mb: 100,
            ..Share::default()
        },
    });
    record
}

#[tokio::test]
async fn hosts_are_read_back_changed_and_forgotten() {
    let store = memory().await;
    let two = host("two", Some(3));
    store.add_host(&two).await.unwrap();
    store.add_host(&host("one", None)).await.unwrap();
    assert_eq!(store.add_host(&two).await, Err(StoreError::HostTaken("two".to_owned())));
    let names: Vec<String> = store
        .hosts()
        .await
        .unwrap()
        .into_iter()
        .map(|one| one.host.name)
        .collect();
    assert_eq!(names, ["one", "two"]);
    let changed = store
        .change_host("two", |host| host.state = HostState::Draining)
        .await
        .unwrap();
    assert_eq!(store.host("two").await.unwrap().host, changed);
    assert!(matches!(
        store.change_host("three", |_| {}).await,
        Err(StoreError::NotFound { .. })
    ));
    store.remove_host("two").await.unwrap();
    assert!(matches!(
        store.remove_host("two").await,
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(store.host("two").await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn a_share_is_held_from_the_commit_that_takes_it_to_the_one_that_gives_it_back() {
    let store = memory().await;
    store.add_host(&host("box", Some(1))).await.unwrap();
    let mut one = on("box");
    store.commit(&mut one, &first()).await.unwrap();
    let seen = store.host("box").await.unwrap();
    assert_eq!(
        (seen.sandboxes, seen.reserved.slots, seen.reserved.memory_mb),
        (1, 1, 100)
    );
    // A second one is refused as a whole.
    let mut two = on("box");
    let refused = store.commit(&mut two, &first()).await;
    assert!(matches!(&refused, Err(StoreError::NoRoom { host, why }) if host == "box" && why.contains("1 of 1")));
    assert!(store.sandbox(&two.sandbox.sandbox_id).await.is_err());
    assert_eq!(
        store.remove_host("box").await,
        Err(StoreError::HostInUse {
            name: "box".to_owned(),
            sandboxes: 1
        })
    );
    // What is held needs no room: neither a smaller host nor draining takes it away.
    store
        .change_host("box", |host| {
            host.capacity.slots = Some(0);
            host.state = HostState::Draining
        })
        .await
        .unwrap();
    store.commit(&mut one, &Change::default()).await.unwrap();
    // A write under an old epoch gives nothing back.
    let mut late = store.sandbox(&one.sandbox.sandbox_id).await.unwrap();
    one.sandbox.epoch = one.sandbox.epoch.next();
    store.commit(&mut one, &Change::default()).await.unwrap();
    late.facts.reservation = None;
    assert!(store.commit(&mut late, &Change::default()).await.is_err());
    assert_eq!(store.reservations().await.unwrap().len(), 1);
    one.facts.reservation = None;
    store.commit(&mut one, &Change::default()).await.unwrap();
    assert_eq!(store.reservations().await.unwrap(), []);
    store.remove_host("box").await.unwrap();
}

#[tokio::test]
async fn hosts_that_drain_or_were_forgotten_take_nothing_and_unknown_ones_are_the_callers_choice() {
    let store = memory().await;
    store.add_host(&host("box", None)).await.unwrap();
    store
        .change_host("box", |host| host.state = HostState::Draining)
        .await
        .unwrap();
    assert!(matches!(
        store.commit(&mut on("box"), &first()).await,
        Err(StoreError::NoRoom { .. })
    ));
    assert!(matches!(
        store.commit(&mut on("gone"), &first()).await,
        Err(StoreError::NoRoom { .. })
    ));
    let mut named = on("anywhere");
    named.facts.address = None;
    store.commit(&mut named, &first()).await.unwrap();
    assert_eq!(store.reservations().await.unwrap().len(), 1);
}

#[test]
fn the_last_slot_is_taken_once_however_many_come_at_once() {
    const COMERS: usize = 16;
    let dir = tempfile::tempdir().unwrap();
    let wait = |work: std::pin::Pin<Box<dyn Future<Output = usize>>>| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(work)
    };
    let home = dir.path().to_owned();
    wait(Box::pin(async move {
        open(&home)
            .await
            .unwrap()
            .add_host(&host("box", Some(3)))
            .await
            .unwrap();
        0
    }));
    let barrier = Arc::new(Barrier::new(COMERS));
    let comers: Vec<_> = (0..COMERS)
        .map(|_| {
            let (home, barrier) = (dir.path().to_owned(), Arc::clone(&barrier));
            std::thread::spawn(move || {
                wait(Box::pin(async move {
                    let store = open(&home).await.unwrap();
                    barrier.wait();
                    match store.commit(&mut on("box"), &first()).await {
                        Ok(()) => 1,
                        Err(StoreError::NoRoom { .. }) => 0,
                        Err(error) => panic!("{error}"),
                    }
                }))
            })
        })
        .collect();
    assert_eq!(comers.into_iter().map(|one| one.join().unwrap()).sum::<usize>(), 3);
}

/// Makes a store what the first release would have left.
fn first_release(dir: &Path) {
    let connection = rusqlite::Connection::open(dir.join("sandboxer.db")).unwrap();
    connection
        .execute_batch(
            "DROP TRIGGER sandbox_listed; DROP TRIGGER sandbox_moved; DROP TRIGGER sandbox_labelled; \
             DROP TRIGGER event_placed; DROP TABLE listing; DROP TABLE label; DROP TABLE placed; DROP TABLE api_key; \
             DROP TABLE project; DROP TABLE audit; DROP TABLE request; DROP TABLE host; DROP TABLE reservation; DROP TABLE sink; DROP TABLE outbox; DROP TABLE delivery; \
             DROP TABLE reconciler; DROP TABLE sighting; DROP TABLE alive; DROP TABLE idempotency; \
             DROP INDEX sandbox_uptime; ALTER TABLE sandbox DROP COLUMN boot; \
             ALTER TABLE sandbox DROP COLUMN deadline_uptime; \
             PRAGMA user_version = 1",
        )
        .unwrap();
    connection.close().unwrap();
}

#[tokio::test]
async fn a_store_of_the_first_release_is_led_up_with_all_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    let mut old = record();
    store.commit(&mut old, &first()).await.unwrap();
    drop(store);
    first_release(dir.path());
    // Many find it so at the same time.
    let homes: Vec<_> = (0..8).map(|_| dir.path().to_owned()).collect();
    let threads = homes.into_iter().map(|home| {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { open(&home).await.map(drop) })
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().unwrap().unwrap();
    }
    let store: Store = open(dir.path()).await.unwrap();
    let mut read = store.sandbox(&old.sandbox.sandbox_id).await.unwrap();
    assert_eq!(read, old);
    read.sandbox.state = State::Provisioning;
    let change = Change {
        events: vec![event(State::Provisioning)],
        ..Change::default()
    };
    store.commit(&mut read, &change).await.unwrap();
    store.add_host(&host("box", Some(1))).await.unwrap();
    store.commit(&mut on("box"), &first()).await.unwrap();
}

#[tokio::test]
async fn a_store_that_cannot_be_led_up_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).await.unwrap());
    first_release(dir.path());
    let raw = rusqlite::Connection::open(dir.path().join("sandboxer.db")).unwrap();
    // In the way of the second table of the step.
    raw.execute_batch("CREATE TABLE reservation (x)").unwrap();
    assert!(open(dir.path()).await.is_err());
    let version: i64 = raw.query_row("PRAGMA user_version", (), |row| row.get(0)).unwrap();
    let hosts: i64 = raw
        .query_row("SELECT COUNT(*) FROM sqlite_master WHERE name = 'host'", (), |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!((version, hosts), (1, 0));
}
