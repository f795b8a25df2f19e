//! Keys, projects, the audit log and answered requests.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use sandboxer_api::identity::{Grant, Key, SetProject};
use sandboxer_extension::port::{Clock as _, SystemClock};
use sandboxer_model::sandbox::Actor;
use sandboxer_store::{AuditEntry, Begun, Change, Replaced, RequestKey, SandboxRecord, Store, StoreError};
use support::{first, memory, open, record};

fn key(id: &str) -> Key {
    Key {
        key_id: id.to_owned(),
        name: "bot".to_owned(),
        role: Actor::Agt,
        project: Some("p".to_owned()),
        grants: vec![Grant::SandboxesRead],
        // As precise as it is stored.
        created_at: Timestamp::from_second(1_000_000).unwrap(),
        created_by: None,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
        rotated_from: None,
    }
}

fn token(id: &str) -> String {
    format!("sbx_live_{id}_{}", "aB3".repeat(11).get(..32).unwrap())
}

fn sql(dir: &Path, text: &str) -> rusqlite::Result<()> {
    rusqlite::Connection::open(dir.join("sandboxer.db"))?.execute_batch(text)
}

#[tokio::test]
async fn a_key_opens_until_it_is_revoked_and_nothing_else_opens() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    assert!(store.add_key(&key("aaaaaaaa"), &token("aaaaaaaa")).await.unwrap());
    assert!(!store.add_key(&key("aaaaaaaa"), &token("aaaaaaaa")).await.unwrap());
    let known = store.authenticate(&token("aaaaaaaa")).await.unwrap().unwrap();
    assert_eq!((known.name.as_str(), known.last_used_at), ("bot", None));
    for wrong in [
        "",
        "sbx_live_aaaaaaaa_",
        "sbx_live_aaaaaaaa",
        "aaaaaaaa",
        &token("bbbbbbbb"),
        &token("aaaaaaaa").replace('3', "4"),
        &format!("{}x", token("aaaaaaaa")),
        &token("aaaaaaaa").to_uppercase(),
        &format!(" {}", token("aaaaaaaa")),
        "sbx_live_aaaaaaaa_ääääääääääääääää",
    ] {
        assert_eq!(store.authenticate(wrong).await.unwrap(), None, "{wrong}");
    }
    let at = SystemClock.now();
    let revoked = store
        .change_key("aaaaaaaa", move |key| {
            key.revoked_at = Some(at);
            Ok(())
        })
        .await
        .unwrap();
    assert!(revoked.last_used_at.is_some());
    assert_eq!(store.authenticate(&token("aaaaaaaa")).await.unwrap(), None);
    assert!(matches!(
        store.api_key("cccccccc").await,
        Err(StoreError::NotFound { what: "key", .. })
    ));
}

#[tokio::test]
async fn a_key_ends_at_its_time_and_its_use_is_noted_once_a_minute() {
    let store = memory().await;
    let mut over = key("aaaaaaaa");
    over.expires_at = Some(SystemClock.now() - SignedDuration::from_secs(1));
    store.add_key(&over, &token("aaaaaaaa")).await.unwrap();
    assert_eq!(store.authenticate(&token("aaaaaaaa")).await.unwrap(), None);
    store.add_key(&key("bbbbbbbb"), &token("bbbbbbbb")).await.unwrap();
    store.authenticate(&token("bbbbbbbb")).await.unwrap().unwrap();
    let noted = store.api_key("bbbbbbbb").await.unwrap().last_used_at.unwrap();
    store.authenticate(&token("bbbbbbbb")).await.unwrap().unwrap();
    assert_eq!(store.api_key("bbbbbbbb").await.unwrap().last_used_at, Some(noted));
}

#[tokio::test]
async fn a_key_that_is_replaced_is_taken_until_then() {
    let store = memory().await;
    store.add_key(&key("aaaaaaaa"), &token("aaaaaaaa")).await.unwrap();
    let later = SystemClock.now() + SignedDuration::from_hours(1);
    let taken = store
        .replace_key("aaaaaaaa", Replaced::At(later), &key("aaaaaaaa"), &token("aaaaaaaa"))
        .await;
    assert_eq!(taken.unwrap(), None);
    let old = store
        .replace_key("aaaaaaaa", Replaced::At(later), &key("bbbbbbbb"), &token("bbbbbbbb"))
        .await;
    assert_eq!(old.unwrap().unwrap().expires_at, Some(later));
    assert!(store.authenticate(&token("aaaaaaaa")).await.unwrap().is_some());
    let now = SystemClock.now();
    store
        .replace_key("aaaaaaaa", Replaced::Now(now), &key("cccccccc"), &token("cccccccc"))
        .await
        .unwrap()
        .unwrap();
    assert!(store.authenticate(&token("aaaaaaaa")).await.unwrap().is_none());
    for id in ["bbbbbbbb", "cccccccc"] {
        assert!(store.authenticate(&token(id)).await.unwrap().is_some(), "{id}");
    }
    assert_eq!(store.api_keys().await.unwrap().len(), 3);
}

#[test]
fn of_many_that_come_first_all_hash_with_the_same_pepper_which_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let threads: Vec<_> = (0..16)
        .map(|at| {
            let home = dir.path().to_owned();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let store = open(&home).await.unwrap();
                    let id = format!("aaaaaa{at:02}");
                    store.add_key(&key(&id), &token(&id)).await.unwrap();
                    id
                })
            })
        })
        .collect();
    let ids: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = open(dir.path()).await.unwrap();
        for id in ids {
            assert!(store.authenticate(&token(&id)).await.unwrap().is_some(), "{id}");
        }
    });
    let pepper = dir.path().join("sandboxer.pepper");
    assert_eq!(pepper.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let names: BTreeSet<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.iter().any(|name| name.ends_with(".new")), "{names:?}");
    // With another pepper no key opens: nothing in the database is enough to try secrets against.
    std::fs::remove_file(&pepper).unwrap();
    runtime.block_on(async {
        let store = open(dir.path()).await.unwrap();
        assert_eq!(store.authenticate(&token("aaaaaa00")).await.unwrap(), None);
    });
}

#[tokio::test]
async fn a_pepper_that_is_cut_short_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    std::fs::File::create(dir.path().join("sandboxer.pepper")).unwrap();
    let error = store.authenticate(&token("aaaaaaaa")).await.unwrap_err();
    assert!(error.to_string().contains("sandboxer.pepper"), "{error}");
}

fn of(project: &str) -> SandboxRecord {
    let mut record = record();
    record.sandbox.consumer.project = Some(project.to_owned());
    record
}

#[tokio::test]
async fn a_project_has_no_more_than_it_may_and_a_place_is_free_again() {
    let store = memory().await;
    let unset = store.project("p").await.unwrap();
    assert_eq!(
        (unset.max_live, unset.creates_per_second, unset.burst, unset.live),
        (50, 10, 50, 0)
    );
    let set = SetProject {
        max_live: Some(2),
        ..SetProject::default()
    };
    let set = store.set_project("p", &set).await.unwrap();
    assert_eq!((set.max_live, set.creates_per_second, set.burst), (2, 10, 50));
    let quota = || Change {
        max_live: Some(2),
        ..first()
    };
    let mut one = of("p");
    store.commit(&mut one, &quota()).await.unwrap();
    store.commit(&mut of("p"), &quota()).await.unwrap();
    let refused = store.commit(&mut of("p"), &quota()).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::QuotaExceeded { live: 2, most: 2, .. }),
        "{refused}"
    );
    store.commit(&mut of("q"), &quota()).await.unwrap();
    assert_eq!(store.project("p").await.unwrap().live, 2);
    let names = store.projects().await.unwrap();
    assert_eq!(
        names.iter().map(|one| one.project.as_str()).collect::<Vec<_>>(),
        ["p", "q"]
    );
    // A change of what is there needs no place.
    store.commit(&mut one, &quota()).await.unwrap();
    for state in [
        sandboxer_model::lifecycle::State::Destroying,
        sandboxer_model::lifecycle::State::Destroyed,
    ] {
        one.sandbox.state = state;
        let change = Change {
            events: vec![support::event(state)],
            ..Change::default()
        };
        store.commit(&mut one, &change).await.unwrap();
    }
    store.commit(&mut of("p"), &quota()).await.unwrap();
    // What has an owner is held to the limit of its project when it is made again.
    one.facts.owner = Some("bot".to_owned());
    one.sandbox.state = sandboxer_model::lifecycle::State::Provisioning;
    let again = Change {
        events: vec![support::event(one.sandbox.state)],
        ..Change::default()
    };
    let refused = store.commit(&mut one, &again).await.unwrap_err();
    assert!(matches!(refused, StoreError::QuotaExceeded { .. }), "{refused}");
}

#[tokio::test]
async fn a_scope_that_is_taken_is_said_before_the_quota() {
    let store = memory().await;
    let mut scoped = of("p");
    scoped.facts.scope_key = Some("s".to_owned());
    let quota = Change {
        max_live: Some(1),
        ..first()
    };
    store.commit(&mut scoped, &quota).await.unwrap();
    let mut other = of("p");
    other.facts.scope_key = Some("s".to_owned());
    let refused = store.commit(&mut other, &quota).await.unwrap_err();
    assert_eq!(refused, StoreError::ScopeTaken("s".to_owned()));
}

#[tokio::test]
async fn the_last_places_of_a_project_are_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).await.unwrap());
    let threads: Vec<_> = (0..24)
        .map(|_| {
            let home = dir.path().to_owned();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let store = open(&home).await.unwrap();
                    let quota = Change {
                        max_live: Some(5),
                        ..first()
                    };
                    match store.commit(&mut of("p"), &quota).await {
                        Ok(()) => 1,
                        Err(StoreError::QuotaExceeded { .. }) => 0,
                        Err(error) => panic!("{error}"),
                    }
                })
            })
        })
        .collect();
    assert_eq!(threads.into_iter().map(|one| one.join().unwrap()).sum::<u32>(), 5);
}

fn entry(action: &str) -> AuditEntry {
    AuditEntry {
        action: action.to_owned(),
        object: Some("sbx-1".to_owned()),
        key_id: Some("aaaaaaaa".to_owned()),
        status: 201,
        ..AuditEntry::default()
    }
}

async fn logged(dir: &Path) -> Store {
    let store = open(dir).await.unwrap();
    for action in ["one", "two", "three", "four"] {
        store.record(entry(action)).await.unwrap();
    }
    store
}

#[tokio::test]
async fn the_audit_log_is_read_back_newest_first_and_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = logged(dir.path()).await;
    let rows = store.audit(None, 3).await.unwrap();
    let seen: Vec<_> = rows.iter().map(|row| (row.seq, row.action.as_str())).collect();
    assert_eq!(seen, [(4, "four"), (3, "three"), (2, "two")]);
    assert_eq!(rows[0].previous, rows[1].digest);
    let rest = store.audit(Some(2), 10).await.unwrap();
    assert_eq!(rest.len(), 1);
    let verdict = store.verify_audit().await.unwrap();
    assert!(verdict.intact, "{verdict:?}");
    assert_eq!((verdict.rows, verdict.last), (4, Some(rows[0].digest.clone())));
    for refused in ["UPDATE audit SET status = 200", "DELETE FROM audit WHERE seq = 4"] {
        let error = sql(dir.path(), refused).unwrap_err().to_string();
        assert!(error.contains("never"), "{refused}: {error}");
    }
}

#[tokio::test]
async fn what_somebody_did_to_the_audit_log_shows() {
    for (done, at) in [
        ("UPDATE audit SET status = 500 WHERE seq = 2", 2),
        ("UPDATE audit SET action = 'other' WHERE seq = 4", 4),
        ("UPDATE audit SET at = at + 1 WHERE seq = 1", 1),
        ("UPDATE audit SET status = 'x' WHERE seq = 3", 3),
        ("DELETE FROM audit WHERE seq = 2", 3),
        ("DELETE FROM audit WHERE seq = 1", 2),
        (
            "DELETE FROM audit WHERE seq = 2; UPDATE audit SET seq = seq - 1 WHERE seq > 2",
            2,
        ),
        (
            "INSERT INTO audit SELECT 5, at, action, object, key_id, name, project, address, request_id, status, previous, \
             digest FROM audit WHERE seq = 4",
            5,
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = logged(dir.path()).await;
        sql(
            dir.path(),
            &format!("DROP TRIGGER audit_unchanged; DROP TRIGGER audit_kept; {done}"),
        )
        .unwrap();
        let verdict = store.verify_audit().await.unwrap();
        assert_eq!(
            (verdict.intact, verdict.broken.map(|row| row.seq)),
            (false, Some(at)),
            "{done}"
        );
    }
}

#[tokio::test]
async fn a_request_is_answered_once_and_again_the_same() {
    let store = memory().await;
    let request = |key: &str, digest: &str| RequestKey {
        key: key.to_owned(),
        digest: digest.to_owned(),
    };
    let alive = |owner: &str| owner == "dead";
    let asked = request("k", "d");
    assert_eq!(store.begin_request(&asked, "me", &alive).await.unwrap(), Begun::New);
    assert_eq!(
        store.begin_request(&asked, "you", &alive).await.unwrap(),
        Begun::InFlight
    );
    let other = request("k", "e");
    assert_eq!(
        store.begin_request(&other, "me", &alive).await.unwrap(),
        Begun::Conflict
    );
    store.end_request("k", 201, "{}").await.unwrap();
    // The first answer stays.
    store.end_request("k", 500, "no").await.unwrap();
    store.drop_request("k").await.unwrap();
    let answered = Begun::Answered {
        status: 201,
        body: "{}".to_owned(),
    };
    assert_eq!(store.begin_request(&asked, "me", &alive).await.unwrap(), answered);
    assert_eq!(
        store.begin_request(&other, "me", &alive).await.unwrap(),
        Begun::Conflict
    );

    let left = request("l", "d");
    assert_eq!(store.begin_request(&left, "dead", &alive).await.unwrap(), Begun::New);
    assert_eq!(store.begin_request(&left, "me", &alive).await.unwrap(), Begun::InDoubt);
    store.drop_request("l").await.unwrap();
    assert_eq!(store.begin_request(&left, "me", &alive).await.unwrap(), Begun::New);
}

#[tokio::test]
async fn answers_are_forgotten_after_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    let asked = RequestKey {
        key: "k".to_owned(),
        digest: "d".to_owned(),
    };
    store.begin_request(&asked, "me", &|_| false).await.unwrap();
    store.end_request("k", 200, "").await.unwrap();
    sql(dir.path(), "UPDATE request SET started_at = started_at - 86399000000").unwrap();
    let again = store.begin_request(&asked, "me", &|_| false).await.unwrap();
    assert!(matches!(again, Begun::Answered { .. }));
    sql(dir.path(), "UPDATE request SET started_at = started_at - 2000000").unwrap();
    assert_eq!(store.begin_request(&asked, "me", &|_| false).await.unwrap(), Begun::New);
}
