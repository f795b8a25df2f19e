//! Creations with an idempotency key: as many sandboxes as keys, whatever becomes of the callers.

use std::collections::BTreeMap;

use sandboxer_engine::Cancel;
use sandboxer_engine::api::{CreateRequest, Silent};
use sandboxer_model::error::ErrorCode;
use sandboxer_model::lifecycle::State;
use sandboxer_world::{CallName, Fault, When};

use crate::lab::{Lab, block_on, killed_after, span};

fn keyed(lab: &Lab, key: &str) -> CreateRequest {
    CreateRequest {
        idempotency_key: Some(key.to_owned()),
        ..lab.request("profile.fake")
    }
}

#[test]
fn the_same_key_is_the_same_sandbox() {
    block_on(async {
        let lab = Lab::new();
        let process = lab.start().await;
        let first = process.engine.create(keyed(&lab, "k"), &Silent, &Cancel::new()).await;
        let first = first.unwrap();
        let again = process.engine.create(keyed(&lab, "k"), &Silent, &Cancel::new()).await;
        let again = again.unwrap();
        assert!(!first.replayed && again.replayed && !again.reused);
        assert_eq!(first.sandbox.sandbox_id, again.sandbox.sandbox_id);
        assert_eq!(lab.world.resources().len(), 1);

        let other = CreateRequest {
            ttl: Some(span("7m")),
            ..keyed(&lab, "k")
        };
        let refused = process.engine.create(other.clone(), &Silent, &Cancel::new()).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::KeyConflict);
        let refused = process.engine.accept(other).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::KeyConflict);

        let mut elsewhere = keyed(&lab, "k");
        elsewhere.consumer.project = Some("p".to_owned());
        let third = process.engine.create(elsewhere, &Silent, &Cancel::new()).await.unwrap();
        assert_ne!(third.sandbox.sandbox_id, first.sandbox.sandbox_id, "projects are apart");

        for wrong in ["", "two words", "\u{1}", &"k".repeat(256)] {
            let refused = process.engine.create(keyed(&lab, wrong), &Silent, &Cancel::new()).await;
            assert_eq!(refused.unwrap_err().code, ErrorCode::InvalidInput, "{wrong:?}");
        }
        lab.expect_sound(&process, "keys").await;
    });
}

/// Of two at once one makes it and the other waits for it.
#[test]
fn two_at_once_are_one() {
    block_on(async {
        let lab = Lab::new();
        let (one, other) = (lab.start().await, lab.start().await);
        let (cancel, twin) = (Cancel::new(), Cancel::new());
        let (first, second) = tokio::join!(
            one.engine.create(keyed(&lab, "k"), &Silent, &cancel),
            other.engine.create(keyed(&lab, "k"), &Silent, &twin)
        );
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.sandbox.sandbox_id, second.sandbox.sandbox_id);
        assert_eq!([first.replayed, second.replayed].iter().filter(|is| **is).count(), 1);
        assert_eq!(second.sandbox.state, State::Ready);
        lab.expect_sound(&one, "two at once").await;
    });
}

/// What was undone, proven, does not hold its key.
#[test]
fn a_key_is_free_again_after_a_failure() {
    block_on(async {
        let lab = Lab::new();
        lab.world
            .inject(None, CallName::Provision, When::Nth(1), Fault::permanent());
        let process = lab.start().await;
        let failed = process.engine.create(keyed(&lab, "k"), &Silent, &Cancel::new()).await;
        assert_eq!(failed.unwrap_err().code, ErrorCode::BackendFailed);
        let made = process.engine.create(keyed(&lab, "k"), &Silent, &Cancel::new()).await;
        assert!(!made.unwrap().replayed);
        lab.expect_sound(&process, "after a failure").await;
    });
}

/// 5,000 creations with 1,000 keys, whose callers go away at any moment and ask again.
#[test]
fn as_many_sandboxes_as_keys() {
    const KEYS: u64 = 1000;
    const REQUESTS: u64 = 5000;
    block_on(async {
        let lab = Lab::new();
        let mut told: BTreeMap<String, String> = BTreeMap::new();
        let mut broken = 0;
        let mut process = lab.start().await;
        for number in 0..REQUESTS {
            // Each key five times, in an order that mixes them.
            let key = format!("key-{}", number.wrapping_mul(7919) % KEYS);
            let polls = match number % 5 {
                4 => 1000,
                short => 1 + (number / 5 + short) % 8,
            };
            let answer = killed_after(polls, process.engine.create(keyed(&lab, &key), &Silent, &Cancel::new())).await;
            match answer {
                Some(answer) => {
                    let id = answer.unwrap().sandbox.sandbox_id.to_string();
                    let before = told.entry(key.clone()).or_insert_with(|| id.clone());
                    assert_eq!(*before, id, "{key}");
                }
                // The connection broke: a caller is gone, or all of the process.
                None => {
                    broken += 1;
                    process.die();
                    process = lab.start().await;
                }
            }
        }
        process.die();
        let process = lab.converge("as many as keys").await;
        for key in 0..KEYS {
            let (request, cancel) = (keyed(&lab, &format!("key-{key}")), Cancel::new());
            let made = process.engine.create(request, &Silent, &cancel).await.unwrap();
            assert_eq!(made.sandbox.state, State::Ready);
        }
        println!(
            "{broken} broken connections, {} keys answered before the end",
            told.len()
        );
        assert!(broken >= 1000, "{broken}");
        assert_eq!(lab.world.resources().len(), usize::try_from(KEYS).unwrap());
        let live = lab.read(&process).await;
        let live = live
            .sandboxes
            .iter()
            .filter(|sandbox| sandbox.state == State::Ready)
            .count();
        assert_eq!(live, usize::try_from(KEYS).unwrap());
    });
}
