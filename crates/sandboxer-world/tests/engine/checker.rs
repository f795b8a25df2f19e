//! The checker behind every suite here can fail: each broken promise is seen.

use sandboxer_engine::Cancel;
use sandboxer_engine::api::Silent;
use sandboxer_model::lifecycle::State;
use sandboxer_model::operation::OperationStatus;
use sandboxer_world::{Books, CallName, Fault, Gate, Mutant, When, violations};

use crate::lab::{Lab, Read, block_on};

fn expect(broken: &[String], promise: &str) {
    assert!(
        broken.iter().any(|one| one.starts_with(promise)),
        "{promise} is broken and not seen: {broken:?}"
    );
}

/// A backend that lies about removal.
#[test]
fn a_leak_behind_a_destroyed_record_is_seen() {
    block_on(async {
        let lab = Lab::broken(Mutant::TeardownLies);
        let id = lab.make("profile.fake").await;
        let process = lab.start().await;
        process.engine.destroy(id.as_str(), &Silent).await.unwrap();
        expect(&lab.violations(&process).await, "P5");
    });
}

/// A backend that makes two when it is asked twice.
#[test]
fn a_second_resource_is_seen() {
    block_on(async {
        let lab = Lab::broken(Mutant::ForgetsIdempotency);
        lab.world.inject(None, CallName::Provision, When::Nth(1), Fault::Twice);
        lab.make("profile.fake").await;
        expect(&lab.violations(&lab.start().await).await, "P3");
    });
}

/// A backend that does not look at epochs lets a late create through.
#[test]
fn a_late_effect_is_seen() {
    block_on(async {
        let lab = Lab::broken(Mutant::IgnoresEpochs);
        let gate = Gate::closed();
        lab.world.inject(
            None,
            CallName::Provision,
            When::Nth(1),
            Fault::PauseBefore(gate.clone()),
        );
        let (creator, destroyer) = (lab.start().await, lab.start().await);
        let cancel = Cancel::new();
        let creation = creator.engine.create(lab.request("profile.fake"), &Silent, &cancel);
        let destruction = async {
            gate.reached().await;
            let id = lab.read(&destroyer).await.sandboxes[0].sandbox_id.clone();
            destroyer.engine.destroy(id.as_str(), &Silent).await.unwrap();
            gate.open();
        };
        let (created, ()) = tokio::join!(creation, destruction);
        assert!(created.is_err());
        expect(&lab.violations(&destroyer).await, "P5");
    });
}

/// Books that were tampered with.
#[test]
fn books_that_do_not_add_up_are_seen() {
    let tampered = |promise: &str, tamper: &dyn Fn(&mut Read)| {
        block_on(async {
            let lab = Lab::hosted();
            lab.make("profile.fake").await;
            let id = lab.make("profile.fake").await;
            let process = lab.start().await;
            process.engine.destroy(id.as_str(), &Silent).await.unwrap();
            let mut read = lab.read(&process).await;
            let check = |read: &Read| {
                let (sandboxes, events, operations) = (&read.sandboxes, &read.events, &read.operations);
                violations(
                    &lab.world,
                    &Books {
                        sandboxes,
                        events,
                        operations,
                        reservations: &read.reservations,
                    },
                )
            };
            assert_eq!(check(&read), Vec::<String>::new());
            read.sandboxes.sort_by_key(|sandbox| sandbox.state);
            tamper(&mut read);
            expect(&check(&read), promise);
        });
    };
    tampered("P3", &|read| drop(read.sandboxes.remove(0)));
    tampered("P5", &|read| read.sandboxes[0].state = State::Destroyed);
    tampered("P3", &|read| read.sandboxes[1].state = State::Ready);
    tampered("P8", &|read| read.sandboxes[0].state = State::Provisioning);
    tampered("P8", &|read| read.operations[0].status = OperationStatus::Running);
    tampered("P11", &|read| drop(read.events.remove(1)));
    tampered("P11", &|read| read.events[1].seq = 9);
    tampered("P11", &|read| {
        read.events.retain(|event| event.kind != "state.provisioning")
    });
    tampered("P12", &|read| read.reservations.clear());
    tampered("P12", &|read| {
        read.reservations[0].0 = read.sandboxes[1].sandbox_id.clone()
    });
    tampered("P12", &|read| read.reservations[0].1.host = "beta".to_owned());
    tampered("P13", &|read| read.sandboxes[1].reason = None);
}
