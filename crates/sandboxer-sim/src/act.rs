//! What callers and the world do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::SignedDuration;
use sandboxer_engine::api::{CreateRequest, Extend, IfAbandoned, ListFilter, Silent};
use sandboxer_engine::{Cancel, Engine, reconcilers};
use sandboxer_extension::port::{Clock as _, IdSource as _};
use sandboxer_extension::{Ended, ProvisionRequest};
use sandboxer_model::duration::Span;
use sandboxer_model::error::ErrorCode;
use sandboxer_model::id::{InstallationId, SandboxId};
use sandboxer_model::profile::Profile;
use sandboxer_world::{CallName, Fault, Reach, When};

use crate::executor::Owner;
use crate::schedule::{Action, How, RECIPES};
use crate::stage::{Stage, address, lock};
use crate::watch::IDLE;

impl Stage {
    pub(crate) fn act(self: &Arc<Self>, action: Action) {
        let turn = usize::try_from(self.installation.ids.uuid().as_u128() % 97).unwrap_or(0);
        let watch = self.watch.clone();
        match action {
            Action::Create { recipe, how, ttl } => self.create(turn, recipe, how, ttl),
            Action::Destroy(which) => {
                let Some(id) = self.some(which) else { return };
                watch.destroying(&id);
                self.ask(turn, |engine| async move {
                    if engine.destroy(id.as_str(), &Silent).await.is_ok() {
                        watch.destroyed(&id);
                    }
                });
            }
            Action::Recreate(which) => {
                let Some(id) = self.some(which) else { return };
                watch.remaking(&id);
                self.ask(turn, |engine| async move {
                    let _ = engine.recreate(id.as_str(), &Silent, &Cancel::new()).await;
                });
            }
            Action::Extend(which, seconds) => {
                let (Some(id), Some(span)) = (self.some(which), Span::from_secs(u64::from(seconds))) else {
                    return;
                };
                self.ask(turn, |engine| async move {
                    if let Ok(sandbox) = engine.extend_ttl(id.as_str(), Extend::By(span)).await {
                        watch.promised(&sandbox);
                    }
                });
            }
            Action::Brink(which, before, after) => self.brink(turn, which, before.into(), after.into()),
            Action::Expire => self.ask(turn, |engine| async move {
                let _ = engine.expire(true, &Silent).await;
            }),
            Action::Get(which) => {
                let Some(id) = self.some(which) else { return };
                self.ask(turn, |engine| async move {
                    let _ = engine.get(id.as_str()).await;
                });
            }
            Action::List => self.ask(turn, |engine| async move {
                let _ = engine.list(&ListFilter::default()).await;
            }),
            Action::Label(which) => {
                let Some(id) = self.some(which) else { return };
                self.label(turn, id);
            }
            Action::Idle(which, before, after) => self.idle(turn, which, before.into(), after.into()),
            Action::Reap => self.ask(turn, |engine| async move {
                let _ = engine.reap_stale(true, None, None).await;
            }),
            Action::Crash(boundaries) => {
                if let Some(plane) = self.plane(turn) {
                    plane.fuse.light(u64::from(boundaries));
                }
            }
            Action::Kill => {
                if let Some(plane) = self.plane(turn) {
                    self.executor.kill(plane.number);
                    self.died(plane.number);
                }
            }
            Action::Outage => {
                self.turn_page();
                let numbers: Vec<u32> = lock(&self.planes).iter().map(|plane| plane.number).collect();
                for number in numbers {
                    self.executor.kill(number);
                    self.died(number);
                }
            }
            Action::Stall(seconds) => {
                if let Some(plane) = self.plane(turn) {
                    self.stall(plane, seconds);
                }
            }
            Action::Vanish(which) => {
                let Some(id) = self.some(which) else { return };
                watch.vanished(&id);
                self.world.vanish(&id, Ended::Killed);
            }
            Action::HostDown(which, seconds) => {
                let address = address(which);
                self.world.set_reach(&address, Reach::Out);
                let stage = self.clone();
                self.executor.spawn(Owner::World, async move {
                    stage.clock.sleep(Duration::from_secs(u64::from(seconds))).await;
                    stage.world.set_reach(&address, Reach::In);
                });
            }
            Action::Stubborn(times) => self.trouble(CallName::Teardown, times, Fault::RefuseRemoval),
            Action::Murky(times) => {
                self.trouble(CallName::Teardown, times, Fault::RefuseRemoval);
                self.trouble(CallName::Teardown, times, Fault::Unknown);
            }
            Action::Blind(times) => self.trouble(CallName::Observe, times, Fault::Unknown),
            Action::Partial(times) => self.trouble(CallName::Inventory, times, Fault::PartialInventory),
            Action::Foreign(which) => self.foreign(which),
            Action::Jump(seconds) => self.clock.jump(SignedDuration::from_secs(seconds.into())),
        }
    }

    /// Somebody wants one longer just before its time has passed, and somebody else sweeps just after.
    fn brink(self: &Arc<Self>, turn: usize, which: usize, before: u64, after: u64) {
        let Some(id) = self.some(which) else { return };
        let Some(end) = self.watch.deadline(&id) else { return };
        let (stage, watch) = (self.clone(), self.watch.clone());
        self.executor.spawn(Owner::World, async move {
            let begin = end.saturating_sub(Duration::from_millis(before));
            stage.clock.sleep(begin.saturating_sub(stage.clock.monotonic())).await;
            let by = Extend::By(Span::from_secs(900).unwrap_or(Span::MAX));
            stage.ask(turn, |engine| async move {
                if let Ok(sandbox) = engine.extend_ttl(id.as_str(), by).await {
                    watch.promised(&sandbox);
                }
            });
            stage.clock.sleep(Duration::from_millis(before + after)).await;
            stage.ask(turn + 1, |engine| async move {
                let _ = engine.expire(true, &Silent).await;
            });
        });
    }

    /// Somebody labels one, which is a use of it.
    fn label(&self, turn: usize, id: SandboxId) {
        let value = self.clock.monotonic().as_micros().to_string();
        let (set, watch) = ([("used".to_owned(), value)].into(), self.watch.clone());
        self.ask(turn, |engine| async move {
            if let Ok(sandbox) = engine.label(id.as_str(), set, Vec::new()).await {
                watch.used(&sandbox);
            }
        });
    }

    /// One that nobody used for as long as its profile bears is used, and somebody looks who is idle.
    fn idle(self: &Arc<Self>, turn: usize, which: usize, before: u64, after: u64) {
        let Some(id) = self.some(which) else { return };
        let stage = self.clone();
        self.executor.spawn(Owner::World, async move {
            stage.clock.sleep(IDLE + Duration::from_secs(1)).await;
            let look = |engine: Arc<Engine>| async move {
                for one in reconcilers().iter().filter(|one| one.name == "idle_reap") {
                    let _ = engine.reconcile(one, &Silent).await;
                }
            };
            stage.clock.sleep(Duration::from_millis(after)).await;
            stage.ask(turn + 1, look);
            stage.clock.sleep(Duration::from_millis(before)).await;
            stage.label(turn, id);
        });
    }

    fn trouble(&self, call: CallName, times: u8, fault: Fault) {
        self.world.inject(None, call, When::First(u64::from(times)), fault);
    }

    fn create(&self, turn: usize, recipe: usize, how: How, ttl: u32) {
        let name = RECIPES[recipe % RECIPES.len()];
        let request = CreateRequest {
            profile: Some(format!("./{name}.yaml")),
            working_dir: self.recipes.clone(),
            ttl: Span::from_secs(u64::from(ttl)),
            ..CreateRequest::default()
        };
        let (watch, clock, executor) = (self.watch.clone(), self.clock.clone(), self.executor.clone());
        let Some(plane) = self.plane(turn) else { return };
        let (number, was_hidden) = (plane.number, plane.was_hidden);
        self.ask(turn, |engine| async move {
            match how {
                How::Wait => match engine.create(request, &Silent, &Cancel::new()).await {
                    Ok(made) => watch.created(&made.sandbox),
                    // Nobody else knows its id yet, so nobody can have asked for its end.
                    Err(error)
                        if error.code == ErrorCode::Fenced
                            && name != "shared"
                            && !was_hidden.load(Ordering::Relaxed) =>
                    {
                        watch.broken(format!("P9: a creation was taken from its living owner: {error}"));
                    }
                    Err(_) => {}
                },
                How::Cancel(after) => {
                    let cancel = Cancel::new();
                    let hand = cancel.clone();
                    executor.spawn(Owner::Process(number), async move {
                        clock.sleep(Duration::from_millis(u64::from(after))).await;
                        hand.cancel();
                    });
                    if let Ok(made) = engine.create(request, &Silent, &cancel).await {
                        watch.created(&made.sandbox);
                    }
                }
                How::Accept => {
                    let request = CreateRequest {
                        if_abandoned: IfAbandoned::Finish,
                        ..request
                    };
                    let Ok(accepted) = engine.accept(request).await else {
                        return;
                    };
                    let sandbox = &accepted.sandbox;
                    if accepted.reused || accepted.replayed {
                        return;
                    }
                    watch.accepted(&sandbox.sandbox_id);
                    if let Some(operation) = &sandbox.operation_id {
                        let _ = engine.resume(operation, &Silent).await;
                    }
                }
            }
        });
    }

    /// Something of another installation, which nobody of ours may touch.
    fn foreign(&self, which: usize) {
        let ids = &self.installation.ids;
        let request = ProvisionRequest {
            sandbox_id: SandboxId::from_uuid(ids.uuid()),
            profile: Profile::new("profile.hosted", "ext.hosted"),
            inputs: Default::default(),
            host: Some(address(which)),
            ttl: Span::MAX,
        };
        let owner = InstallationId::from_uuid(ids.uuid());
        self.world.add_foreign("ext.hosted", request, owner);
    }
}
