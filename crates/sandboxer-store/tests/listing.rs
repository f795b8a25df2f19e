//! Pages of sandboxes and events in the order of commits: what a viewer may see of them, and that older writers keep them
//! right.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::collections::BTreeMap;

use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::State;
use sandboxer_model::profile::Scope;
use sandboxer_model::sandbox::Actor;
use sandboxer_store::{Change, PageFilter, SandboxRecord, Store, Viewer};
use support::{event, first, memory, open, record};

async fn store_it(store: &Store, change: impl FnOnce(&mut SandboxRecord)) -> SandboxRecord {
    let mut record = record();
    change(&mut record);
    store.commit(&mut record, &first()).await.unwrap();
    record
}

async fn move_to(store: &Store, record: &mut SandboxRecord, states: &[State]) {
    for state in states {
        record.sandbox.state = *state;
        let change = Change {
            events: vec![event(*state)],
            ..Change::default()
        };
        store.commit(record, &change).await.unwrap();
    }
}

fn ids(records: &[SandboxRecord]) -> Vec<&str> {
    records.iter().map(|one| one.sandbox.sandbox_id.as_str()).collect()
}

fn viewer(project: Option<&str>, owner: Option<&str>) -> Viewer {
    Viewer {
        project: project.map(str::to_owned),
        owner: owner.map(str::to_owned),
    }
}

fn filter(limit: u32) -> PageFilter {
    PageFilter {
        limit,
        ..PageFilter::default()
    }
}

/// What a page must be, told by looking at every record.
fn expected<'r>(all: &'r [SandboxRecord], filter: &PageFilter, viewer: &Viewer) -> Vec<&'r str> {
    let mut seen: Vec<_> = all
        .iter()
        .filter(|record| {
            let sandbox = &record.sandbox;
            let state = match filter.states.as_slice() {
                [] => filter.all || sandbox.state != State::Destroyed,
                states => states.contains(&sandbox.state),
            };
            let consumer = &sandbox.consumer;
            state
                && viewer.sees(record)
                && filter.profile.as_ref().is_none_or(|one| *one == sandbox.profile_id)
                && filter
                    .project
                    .as_ref()
                    .is_none_or(|one| Some(one) == consumer.project.as_ref())
                && filter.actor.is_none_or(|one| one == consumer.actor)
                && filter
                    .run_id
                    .as_ref()
                    .is_none_or(|one| Some(one) == consumer.run_id.as_ref())
                && filter.labels.iter().all(|(k, v)| sandbox.labels.get(k) == Some(v))
                && filter.before.as_ref().is_none_or(|id| sandbox.sandbox_id < *id)
        })
        .map(|record| record.sandbox.sandbox_id.as_str())
        .collect();
    seen.sort_unstable_by(|one, two| two.cmp(one));
    seen
}

#[tokio::test]
async fn every_combination_of_filters_is_what_looking_at_all_would_say() {
    let store = memory().await;
    let mut all = Vec::new();
    for at in 0..48u32 {
        let pick = |of: u32| (at / of).is_multiple_of(2);
        let mut record = store_it(&store, |record| {
            let sandbox = &mut record.sandbox;
            sandbox.profile_id = if pick(1) { "profile.a" } else { "profile.b" }.to_owned();
            sandbox.consumer.project = (at % 5 != 0).then(|| if pick(2) { "p" } else { "q" }.to_owned());
            sandbox.consumer.actor = if pick(4) { Actor::Agt } else { Actor::Atm };
            sandbox.consumer.run_id = pick(3).then(|| "r".to_owned());
            sandbox.scope = if at % 7 == 0 { Scope::Shared } else { Scope::Session };
            record.facts.owner = (at % 3 != 0).then(|| if pick(8) { "bot" } else { "cat" }.to_owned());
            let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            sandbox.labels = [label("k", if pick(5) { "v" } else { "w" }), label("l", "x")].into();
        })
        .await;
        match at % 4 {
            0 => {}
            1 => move_to(&store, &mut record, &[State::Provisioning, State::Ready]).await,
            2 => move_to(&store, &mut record, &[State::Destroying]).await,
            _ => move_to(&store, &mut record, &[State::Destroying, State::Destroyed]).await,
        }
        all.push(record);
    }
    let before = all[30].sandbox.sandbox_id.clone();
    let viewers = [
        viewer(None, None),
        viewer(Some("p"), None),
        viewer(Some("p"), Some("bot")),
        viewer(Some("none"), Some("bot")),
    ];
    let mut found = 0;
    for bits in 0..256u32 {
        let has = |bit: u32| bits & (1 << bit) != 0;
        let some = |bit: u32, text: &str| has(bit).then(|| text.to_owned());
        let asked = PageFilter {
            states: if has(0) {
                vec![State::Ready, State::Destroyed]
            } else {
                Vec::new()
            },
            all: has(1),
            profile: some(2, "profile.a"),
            project: some(3, "p"),
            actor: has(4).then_some(Actor::Agt),
            run_id: some(5, "r"),
            labels: match has(6) {
                true => BTreeMap::from([("k".to_owned(), "v".to_owned()), ("l".to_owned(), "x".to_owned())]),
                false => BTreeMap::new(),
            },
            id_prefix: None,
            before: has(7).then(|| before.clone()),
            limit: 200,
        };
        for viewer in &viewers {
            let page = store.page(&asked, viewer).await.unwrap();
            assert!(!page.more);
            assert_eq!(
                ids(&page.records),
                expected(&all, &asked, viewer),
                "{asked:?} {viewer:?}"
            );
            found += page.records.len();
        }
    }
    assert!(found > 1_000, "{found}");
}

#[tokio::test]
async fn pages_follow_one_another_without_gap_or_repetition() {
    let store = memory().await;
    let mut made = Vec::new();
    for _ in 0..25 {
        made.push(store_it(&store, |_| {}).await.sandbox.sandbox_id);
    }
    made.sort();
    made.reverse();
    let (mut seen, mut before): (Vec<SandboxId>, _) = (Vec::new(), None);
    loop {
        let asked = PageFilter { before, ..filter(10) };
        let page = store.page(&asked, &Viewer::default()).await.unwrap();
        seen.extend(page.records.iter().map(|one| one.sandbox.sandbox_id.clone()));
        before = seen.last().cloned();
        assert_eq!(page.more, seen.len() < 25);
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn ids_are_found_by_how_they_begin() {
    let store = memory().await;
    let one = store_it(&store, |_| {}).await.sandbox.sandbox_id;
    let other = store_it(&store, |_| {}).await.sandbox.sandbox_id;
    let begun = |prefix: &str| PageFilter {
        id_prefix: Some(prefix.to_owned()),
        ..filter(10)
    };
    let count = async |prefix: &str| {
        let page = store.page(&begun(prefix), &Viewer::default()).await.unwrap();
        page.records.len()
    };
    assert_eq!(count(&one.as_str()[..7]).await, 2);
    assert_eq!(count(one.as_str().strip_prefix("sbx-").unwrap()).await, 1);
    assert_eq!(count(&other.as_str().to_uppercase()).await, 1);
    for nothing in ["sbx-zzz", "%", "sbx-' OR 1", "é"] {
        assert_eq!(count(nothing).await, 0, "{nothing}");
    }
}

#[tokio::test]
async fn labels_that_change_are_found_as_they_are_now() {
    let store = memory().await;
    let mut one = store_it(&store, |record| {
        record.sandbox.labels.insert("k".to_owned(), "old".to_owned());
    })
    .await;
    one.sandbox.labels = [("k".to_owned(), "new".to_owned())].into();
    store.commit(&mut one, &Change::default()).await.unwrap();
    for (value, found) in [("old", 0), ("new", 1)] {
        let asked = PageFilter {
            labels: [("k".to_owned(), value.to_owned())].into(),
            ..filter(10)
        };
        let page = store.page(&asked, &Viewer::default()).await.unwrap();
        assert_eq!(page.records.len(), found, "{value}");
    }
    one.sandbox.labels.clear();
    store.commit(&mut one, &Change::default()).await.unwrap();
    let asked = PageFilter {
        labels: [("k".to_owned(), "new".to_owned())].into(),
        ..filter(10)
    };
    assert!(store.page(&asked, &Viewer::default()).await.unwrap().records.is_empty());
}

#[tokio::test]
async fn events_have_places_without_gaps_and_viewers_get_theirs() {
    let store = memory().await;
    assert_eq!(store.last_position().await.unwrap(), 0);
    let mut one = store_it(&store, |record| {
        record.sandbox.consumer.project = Some("p".to_owned());
        record.facts.owner = Some("bot".to_owned());
    })
    .await;
    let mut other = store_it(&store, |record| record.sandbox.consumer.project = Some("q".to_owned())).await;
    move_to(&store, &mut one, &[State::Provisioning]).await;
    // What is refused leaves no gap.
    let mut stale = store.sandbox(&other.sandbox.sandbox_id).await.unwrap();
    move_to(&store, &mut other, &[State::Provisioning]).await;
    stale.sandbox.state = State::Provisioning;
    let late = Change {
        events: vec![event(State::Provisioning)],
        ..Change::default()
    };
    store.commit(&mut stale, &late).await.unwrap_err();
    move_to(&store, &mut one, &[State::Ready]).await;
    let all = store.events_after(0, 100, &Viewer::default()).await.unwrap();
    let places: Vec<_> = all.iter().map(|one| one.position).collect();
    assert_eq!(places, [1, 2, 3, 4, 5]);
    assert_eq!(store.last_position().await.unwrap(), 5);
    let after = store.events_after(3, 1, &Viewer::default()).await.unwrap();
    assert_eq!((after.len(), after[0].position), (1, 4));
    for (who, expected) in [
        (viewer(Some("p"), None), vec![1, 3, 5]),
        (viewer(Some("p"), Some("bot")), vec![1, 3, 5]),
        (viewer(Some("p"), Some("cat")), vec![]),
        (viewer(Some("q"), None), vec![2, 4]),
    ] {
        let seen = store.events_after(0, 100, &who).await.unwrap();
        assert_eq!(
            seen.iter().map(|one| one.position).collect::<Vec<_>>(),
            expected,
            "{who:?}"
        );
    }
}

/// Makes a store what version 6 would have left.
fn version_6(dir: &std::path::Path) {
    let connection = rusqlite::Connection::open(dir.join("sandboxer.db")).unwrap();
    connection
        .execute_batch(
            "DROP TRIGGER sandbox_listed; DROP TRIGGER sandbox_moved; DROP TRIGGER sandbox_labelled; \
             DROP TRIGGER event_placed; DROP TABLE listing; DROP TABLE label; DROP TABLE placed; DROP TABLE api_key; \
             DROP TABLE project; DROP TABLE audit; DROP TABLE request; PRAGMA user_version = 6",
        )
        .unwrap();
}

#[tokio::test]
async fn a_store_of_version_6_is_led_up_and_a_process_of_it_that_still_writes_keeps_it_right() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    let mut one = store_it(&store, |record| {
        record.sandbox.labels.insert("k".to_owned(), "v".to_owned());
        record.sandbox.consumer.run_id = Some("r".to_owned());
    })
    .await;
    move_to(&store, &mut one, &[State::Provisioning]).await;
    let damaged = store_it(&store, |_| {}).await.sandbox.sandbox_id;
    drop(store);
    version_6(dir.path());
    let older = rusqlite::Connection::open(dir.path().join("sandboxer.db")).unwrap();
    older
        .execute("UPDATE sandbox SET record = '{' WHERE id = $1", [damaged.as_str()])
        .unwrap();

    let store = open(dir.path()).await.unwrap();
    let asked = PageFilter {
        run_id: Some("r".to_owned()),
        labels: [("k".to_owned(), "v".to_owned())].into(),
        ..filter(10)
    };
    let page = store.page(&asked, &Viewer::default()).await.unwrap();
    assert_eq!(ids(&page.records), [one.sandbox.sandbox_id.as_str()]);
    let events = store.events_after(0, 100, &Viewer::default()).await.unwrap();
    assert_eq!(events.iter().map(|one| one.position).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(events.is_sorted_by_key(|placed| placed.event.at));

    // It knows nothing of the new tables.
    let id = one.sandbox.sandbox_id.as_str();
    older
        .execute(
            "UPDATE sandbox SET state = 'failed', record = json_set(record, '$.sandbox.labels', json('{\"k\":\"w\"}'), \
             '$.sandbox.state', 'failed') WHERE id = $1",
            [id],
        )
        .unwrap();
    older
        .execute(
            "INSERT INTO event (sandbox_id, seq, id, at, kind, state, record, delivered) SELECT sandbox_id, 9, id, at, \
             kind, state, record, 0 FROM event WHERE sandbox_id = $1 AND seq = 1",
            [id],
        )
        .unwrap();
    let moved = PageFilter {
        states: vec![State::Failed],
        labels: [("k".to_owned(), "w".to_owned())].into(),
        ..filter(10)
    };
    let page = store.page(&moved, &Viewer::default()).await.unwrap();
    assert_eq!(ids(&page.records), [id]);
    assert!(store.page(&asked, &Viewer::default()).await.unwrap().records.is_empty());
    assert_eq!(store.last_position().await.unwrap(), 4);
}
