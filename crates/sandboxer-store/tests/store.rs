//! What the store promises: all or nothing, fenced, in order, many processes at once, and a clear word on bad files.

#![expect(clippy::unwrap_used, reason = "a test may stop")]

mod support;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use sandboxer_extension::port::{Clock as _, SystemClock};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::State;
use sandboxer_store::{Change, Due, Durability, MeterRow, SandboxFilter, Store, StoreError};
use support::{event, first, memory, open, operation, record, record_of, step};

async fn stored(store: &Store) -> sandboxer_store::SandboxRecord {
    let mut record = record();
    store.commit(&mut record, &first()).await.unwrap();
    record
}

#[tokio::test]
async fn everything_of_a_change_is_read_back() {
    let store = memory().await;
    let mut record = record();
    let operation = operation(&record.sandbox.sandbox_id, "me", SystemClock.now());
    let change = Change {
        operations: vec![operation.clone()],
        steps: vec![step(&operation.operation_id, 1), step(&operation.operation_id, 2)],
        meters: vec![MeterRow {
            meter: "duration_ms".to_owned(),
            period: 1,
            quantity: 5,
            cost_micros: 7,
        }],
        ..first()
    };
    store.commit(&mut record, &change).await.unwrap();
    let id = &record.sandbox.sandbox_id.clone();
    assert_eq!(store.sandbox(id).await.unwrap(), record);
    assert_eq!(store.frozen(id).await.unwrap(), support::frozen());
    let read = store.operation(&operation.operation_id).await.unwrap();
    assert_eq!(
        (read.kind, &read.params, &read.step),
        (operation.kind, &operation.params, &operation.step)
    );
    assert_eq!(store.operations(id).await.unwrap().len(), 1);
    assert_eq!(store.steps(&operation.operation_id).await.unwrap().len(), 2);
    assert_eq!(store.meters(id).await.unwrap(), change.meters);
    // A second row for the same stretch of life changes nothing.
    let again = Change {
        meters: vec![MeterRow {
            meter: "duration_ms".to_owned(),
            period: 1,
            quantity: 9,
            cost_micros: 9,
        }],
        ..Change::default()
    };
    store.commit(&mut record, &again).await.unwrap();
    assert_eq!(store.meters(id).await.unwrap(), change.meters);
}

#[tokio::test]
async fn events_are_numbered_without_gaps() {
    let store = memory().await;
    let mut record = stored(&store).await;
    record.sandbox.state = State::Ready;
    let change = Change {
        events: vec![event(State::Provisioning), event(State::Ready)],
        ..Change::default()
    };
    store.commit(&mut record, &change).await.unwrap();
    let numbers = |events: Vec<sandboxer_model::event::Event>| events.iter().map(|event| event.seq).collect::<Vec<_>>();
    assert_eq!(
        numbers(store.events(Some(&record.sandbox.sandbox_id)).await.unwrap()),
        [1, 2, 3]
    );
    stored(&store).await;
    assert_eq!(store.events(None).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_write_under_an_old_epoch_changes_nothing_at_all() {
    let store = memory().await;
    let mut old = stored(&store).await;
    let mut new = store.sandbox(&old.sandbox.sandbox_id).await.unwrap();
    new.sandbox.epoch = new.sandbox.epoch.next();
    store.commit(&mut new, &Change::default()).await.unwrap();
    old.sandbox.state = State::Provisioning;
    let late = operation(&old.sandbox.sandbox_id, "late", SystemClock.now());
    let change = Change {
        events: vec![event(State::Provisioning)],
        operations: vec![late.clone()],
        ..Change::default()
    };
    let id = old.sandbox.sandbox_id.clone();
    assert_eq!(
        store.commit(&mut old, &change).await,
        Err(StoreError::Fenced(id.clone()))
    );
    assert_eq!(store.sandbox(&id).await.unwrap(), new);
    assert_eq!(store.events(Some(&id)).await.unwrap().len(), 1);
    assert!(store.operation(&late.operation_id).await.is_err());
}

#[tokio::test]
async fn two_writers_of_the_same_epoch_do_not_lose_each_others_work() {
    let store = memory().await;
    let mut one = stored(&store).await;
    let mut two = store.sandbox(&one.sandbox.sandbox_id).await.unwrap();
    one.sandbox.labels.insert("a".to_owned(), "1".to_owned());
    store.commit(&mut one, &Change::default()).await.unwrap();
    two.sandbox.labels.insert("b".to_owned(), "2".to_owned());
    let id = two.sandbox.sandbox_id.clone();
    assert_eq!(
        store.commit(&mut two, &Change::default()).await,
        Err(StoreError::Stale(id))
    );
}

#[tokio::test]
async fn moves_outside_the_table_are_refused() {
    let store = memory().await;
    let mut record = stored(&store).await;
    record.sandbox.state = State::Ready;
    let skipped = store
        .commit(
            &mut record,
            &Change {
                events: vec![event(State::Ready)],
                ..Change::default()
            },
        )
        .await;
    assert!(matches!(
        skipped,
        Err(StoreError::IllegalMove {
            from: State::Requested,
            to: State::Ready,
            ..
        })
    ));
    let untold = store.commit(&mut record, &Change::default()).await;
    assert!(matches!(untold, Err(StoreError::IllegalMove { .. })));
    assert_eq!(
        store.sandbox(&record.sandbox.sandbox_id).await.unwrap().sandbox.state,
        State::Requested
    );
}

#[tokio::test]
async fn a_scope_is_held_by_one() {
    let store = memory().await;
    let mut one = record();
    one.facts.scope_key = Some("s".to_owned());
    store.commit(&mut one, &first()).await.unwrap();
    let mut two = record();
    two.facts.scope_key = Some("s".to_owned());
    assert_eq!(
        store.commit(&mut two, &first()).await,
        Err(StoreError::ScopeTaken("s".to_owned()))
    );
    assert_eq!(
        store.sandbox_of_scope("s").await.unwrap().unwrap().sandbox.sandbox_id,
        one.sandbox.sandbox_id
    );
    one.facts.scope_key = None;
    store.commit(&mut one, &Change::default()).await.unwrap();
    store.commit(&mut two, &first()).await.unwrap();
}

#[tokio::test]
async fn ids_are_found_by_any_unique_prefix() {
    let store = memory().await;
    for body in [
        "00000000000000000000000001",
        "00000000000000000000000002",
        "0abc0000000000000000000000",
    ] {
        let mut record = record_of(format!("sbx-{body}").parse().unwrap());
        store.commit(&mut record, &first()).await.unwrap();
    }
    let found = |text: &'static str| {
        let store = store.clone();
        async move {
            store
                .find_sandbox(text)
                .await
                .map(|record| record.sandbox.sandbox_id.to_string())
        }
    };
    for text in ["sbx-0abc0000000000000000000000", "sbx-0ab", "0ab", "0ABC0"] {
        assert_eq!(found(text).await.unwrap(), "sbx-0abc0000000000000000000000", "{text}");
    }
    assert!(matches!(found("sbx-000").await, Err(StoreError::Ambiguous { matches, .. }) if matches.len() == 2));
    assert!(matches!(found("0a").await, Err(StoreError::TooShort(_))));
    assert!(matches!(found("sbx-").await, Err(StoreError::TooShort(_))));
    for text in ["zzz", "0abd", "%%%", "'; --", "sbx-0abc00000000000000000000000", "ébc"] {
        assert!(matches!(found(text).await, Err(StoreError::NotFound { .. })), "{text}");
    }
}

#[tokio::test]
async fn what_is_due_is_found_and_nothing_else() {
    let store = memory().await;
    let now = SystemClock.now();
    let (past, future) = (now - SignedDuration::from_secs(5), now + SignedDuration::from_secs(500));
    let mut expected = Vec::new();
    for (owner, until, due) in [
        ("me", past, false),
        ("other", future, true),
        ("", past, true),
        ("", future, false),
    ] {
        let mut record = record();
        let operation = operation(&record.sandbox.sandbox_id, owner, until);
        if due {
            expected.push(operation.operation_id.clone());
        }
        store
            .commit(
                &mut record,
                &Change {
                    operations: vec![operation],
                    ..first()
                },
            )
            .await
            .unwrap();
    }
    let usable = |at: Timestamp| {
        let mut record = record();
        record.sandbox.state = State::Ready;
        record.sandbox.expires_at = Some(at);
        let events = vec![event(State::Requested), event(State::Provisioning), event(State::Ready)];
        (record, Change { events, ..first() })
    };
    let (mut late, change) = usable(past);
    store.commit(&mut late, &change).await.unwrap();
    let (mut early, change) = usable(future);
    store.commit(&mut early, &change).await.unwrap();
    let mut operations = Vec::new();
    let mut deadlines = Vec::new();
    for due in store.due("me", 100).await.unwrap() {
        match due {
            Due::Operation { operation_id, .. } => operations.push(operation_id),
            Due::Deadline(id) => deadlines.push(id),
        }
    }
    operations.sort();
    expected.sort();
    assert_eq!(operations, expected);
    assert_eq!(deadlines, [late.sandbox.sandbox_id]);
}

#[tokio::test]
async fn a_caller_that_goes_away_in_the_middle_leaves_no_open_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    for polls in 1..6 {
        let mut record = record();
        let change = first();
        let mut commit = Box::pin(store.commit(&mut record, &change));
        for _ in 0..polls {
            let step = std::future::poll_fn(|context| std::task::Poll::Ready(commit.as_mut().poll(context))).await;
            if step.is_ready() {
                break;
            }
        }
        drop(commit);
        stored(&store).await;
    }
    // Another process is not locked out either.
    stored(&open(dir.path()).await.unwrap()).await;
    let count = store.sandboxes(&SandboxFilter::default()).await.unwrap().len();
    assert!((6..=11).contains(&count), "{count}");
}

#[tokio::test]
async fn the_directory_is_private_and_the_installation_keeps_its_name() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("a/b");
    let id = open(&home).await.unwrap().installation_id().clone();
    assert_eq!(open(&home).await.unwrap().installation_id(), &id);
    assert_eq!(std::fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
    let drafts = std::fs::read_dir(&home)
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains(".new"));
    assert_eq!(drafts.count(), 0);
}

#[tokio::test]
async fn leaving_costs_no_folding_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    let id = stored(&store).await.sandbox.sandbox_id;
    drop(store);
    let log = dir.path().join("sandboxer.db-wal");
    assert!(std::fs::metadata(log).unwrap().len() > 0);
    let again = open(dir.path()).await.unwrap();
    assert_eq!(again.sandbox(&id).await.unwrap().sandbox.sandbox_id, id);
}

async fn refusal(dir: &Path) -> (StoreError, UserError) {
    let error = open(dir).await.unwrap_err();
    (error.clone(), error.into())
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "bad files are made by hand")]
async fn bad_files_are_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sandboxer.db");
    let fresh = || {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(dir.path().join(format!("sandboxer.db{suffix}")));
        }
    };
    // Not a database.
    std::fs::write(
        &file,
        "hello, I am a text of some length and no database at all".repeat(100),
    )
    .unwrap();
    let (_, user) = refusal(dir.path()).await;
    assert_eq!((user.code, user.hints.len()), (ErrorCode::StoreCorrupt, 1));
    // Empty: SQLite would take it for a database.
    std::fs::write(&file, "").unwrap();
    assert_eq!(refusal(dir.path()).await.1.code, ErrorCode::StoreForeign);
    // Another program's, and a newer one of ours.
    for (pragma, newer) in [("PRAGMA application_id = 7", false), ("PRAGMA user_version = 99", true)] {
        fresh();
        drop(open(dir.path()).await.unwrap());
        raw(&file, pragma);
        let (error, user) = refusal(dir.path()).await;
        assert!(
            matches!(error, StoreError::Foreign { newer: n, .. } if n == newer),
            "{error}"
        );
        assert_eq!(user.code, ErrorCode::StoreForeign);
    }
    // Ours, but a table is gone.
    fresh();
    drop(open(dir.path()).await.unwrap());
    raw(&file, "DROP TABLE meta");
    assert_eq!(refusal(dir.path()).await.1.code, ErrorCode::StoreCorrupt);
    // A directory where the file should be, and a file where the directory should be.
    fresh();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(refusal(dir.path()).await.1.code, ErrorCode::StoreUnavailable);
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(dir.path().join("plain"), "").unwrap();
    assert_eq!(
        refusal(&dir.path().join("plain")).await.1.code,
        ErrorCode::StoreUnavailable
    );
}

fn raw(file: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "damage is done by hand")]
async fn damaged_pages_are_an_error_and_never_a_wrong_answer() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sandboxer.db");
    let store = open(dir.path()).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(stored(&store).await.sandbox.sandbox_id);
    }
    drop(store);
    raw(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    let whole = std::fs::read(&file).unwrap();
    let mut refused = 0;
    for page in 1..whole.len() / 4096 {
        let mut damaged = whole.clone();
        for byte in &mut damaged[page * 4096..(page + 1) * 4096] {
            *byte ^= 0xa5;
        }
        std::fs::write(&file, &damaged).unwrap();
        let Ok(store) = open(dir.path()).await else {
            refused += 1;
            continue;
        };
        for id in &ids {
            match store.sandbox(id).await {
                Ok(record) => assert_eq!(record.sandbox.sandbox_id, *id),
                Err(StoreError::Corrupt { .. } | StoreError::Damaged { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(refused > 0);
}

const CHILD_DIR: &str = "SBX_TEST_STORE_DIR";
const PROCESSES: usize = 20;
const COMMITS: usize = 25;

/// One process of the next test; does nothing when run by itself.
#[tokio::test]
async fn child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let store = open(Path::new(&dir)).await.unwrap();
    for _ in 0..COMMITS {
        let mut record = stored(&store).await;
        record.sandbox.state = State::Provisioning;
        let change = Change {
            events: vec![event(State::Provisioning)],
            durability: Durability::CrashOnly,
            ..Change::default()
        };
        store.commit(&mut record, &change).await.unwrap();
        assert!(!store.sandboxes(&SandboxFilter::default()).await.unwrap().is_empty());
    }
    // Like the command line: no closing.
    std::process::exit(0);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "processes are what is tested")]
async fn twenty_processes_open_a_new_store_at_once_and_none_sees_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("data");
    let start = || {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD_DIR, &home)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..PROCESSES).map(|_| start()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let store = open(&home).await.unwrap();
    let all = store.sandboxes(&SandboxFilter::default()).await.unwrap();
    assert_eq!(all.len(), PROCESSES * COMMITS);
    assert!(all.iter().all(|record| record.sandbox.state == State::Provisioning));
    let ids: std::collections::BTreeSet<&SandboxId> = all.iter().map(|record| &record.sandbox.sandbox_id).collect();
    assert_eq!(ids.len(), all.len());
    assert_eq!(store.events(None).await.unwrap().len(), 2 * PROCESSES * COMMITS);
}
