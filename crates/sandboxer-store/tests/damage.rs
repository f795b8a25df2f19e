//! Damaged rows: named, left out where all are asked for, an error where one is, and found by an examination.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::path::Path;

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_store::{Change, SandboxFilter, SandboxRecord, Store, StoreError};
use support::{frozen, open, record};

async fn stored(store: &Store) -> SandboxRecord {
    let mut record = record();
    let change = Change {
        frozen: Some(frozen()),
        ..Change::default()
    };
    store.commit(&mut record, &change).await.unwrap();
    record
}

fn sql(dir: &Path, text: &str) {
    let connection = rusqlite::Connection::open(dir.join("sandboxer.db")).unwrap();
    connection
        .execute_batch(&format!("PRAGMA foreign_keys = OFF; {text}"))
        .unwrap();
}

#[tokio::test]
async fn a_damaged_row_is_left_out_named_and_remembered() {
    for value in [
        "record = '{'",
        "state = 'sleeping'",
        "epoch = -1",
        "epoch = 7",
        "record = x'ff'",
        "revision = 'x'",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await.unwrap();
        let (well, damaged) = (stored(&store).await, stored(&store).await);
        let id = damaged.sandbox.sandbox_id.clone();
        assert_eq!(store.examine().await.unwrap(), []);
        sql(dir.path(), &format!("UPDATE sandbox SET {value} WHERE id = '{id}'"));
        let all = store.sandboxes(&SandboxFilter::default()).await.unwrap();
        assert_eq!(all.len(), 1, "{value}");
        assert_eq!(all[0].sandbox, well.sandbox);
        let error = store.sandbox(&id).await.unwrap_err();
        let StoreError::Damaged { damage, .. } = &error else {
            unreachable!("{value}: {error}");
        };
        assert_eq!((damage.table, damage.row.as_str()), ("sandbox", id.as_str()));
        assert_eq!(store.noticed_damage(), std::slice::from_ref(damage));
        assert_eq!(store.examine().await.unwrap(), std::slice::from_ref(damage));
        let user = UserError::from(error);
        assert_eq!(user.code, ErrorCode::StoreCorrupt);
        assert!(
            user.message.contains("sandboxer.db") && user.message.contains(id.as_str()),
            "{user:?}"
        );
        // By a beginning that fits both, and by one that fits it alone.
        let found = store.find_sandbox(&id.as_str()[..8]).await;
        assert!(matches!(found, Err(StoreError::Ambiguous { .. })), "{found:?}");
        let found = store.find_sandbox(&id.as_str()[..id.as_str().len() - 1]).await;
        assert!(found.is_err());
        store.counts().await.unwrap();
    }
}

#[tokio::test]
async fn a_deadline_that_nobody_would_keep_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    let id = stored(&store).await.sandbox.sandbox_id;
    sql(dir.path(), "UPDATE sandbox SET deadline = 5");
    let found = store.examine().await.unwrap();
    assert_eq!((found.len(), found[0].row.as_str()), (1, id.as_str()));
    // It can be used all the same, and the next commit puts it right.
    let mut record = store.sandbox(&id).await.unwrap();
    store.commit(&mut record, &Change::default()).await.unwrap();
    assert_eq!(store.examine().await.unwrap(), []);
}

#[tokio::test]
async fn the_row_of_a_reconciler_that_is_damaged_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    let soon = jiff::Timestamp::from_second(1_900_000_000).unwrap();
    let claim = store.claim_turn("sweep", None, "me", soon).await.unwrap().unwrap();
    assert!(store.give_back(claim, "{}", soon).await.unwrap());
    sql(dir.path(), "UPDATE reconciler SET due_at = 'never'");
    assert_eq!(store.turns().await.unwrap(), []);
    assert_eq!(store.turn("sweep").await.unwrap(), None);
    assert!(store.claim_turn("sweep", None, "me", soon).await.unwrap().is_some());
    assert_eq!(store.examine().await.unwrap(), []);
}
