//! What lies between an engine and a backend. A call is carried out by the backend even when its caller has died or given
//! up; answers come late, never, or twice asked for. What happens to a call follows from the seed and from which call of
//! which sandbox it is, so that leaving a part of a schedule out changes little else.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sandboxer_extension::port::Clock as _;
use sandboxer_extension::{
    Call, ErrorKind, ExecRequest, ExecSession, Extension, ExtensionError, Handle, HostProbe, Inventory, Manifest,
    Observation, ProvisionRequest, Ready, Removal, Target, Validation,
};
use sandboxer_model::cleanup::Presence;
use sandboxer_model::duration::Span;
use sandboxer_model::money::Quote;
use sandboxer_model::profile::Profile;
use sandboxer_world::{CallName, FakeExtension, TestClock};
use tokio::sync::oneshot;

use crate::executor::{Executor, Owner};
use crate::watch::Watch;

/// How often things go wrong, in calls out of a thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// Nothing is done and an error comes back.
    pub refused: u16,
    /// It is done and the answer is an error.
    pub lost: u16,
    /// It is done, some time or other, and no answer comes.
    pub hung: u16,
    /// It is done twice, the second time later.
    pub doubled: u16,
    /// It takes longer than usual, up to more than its caller waits.
    pub slow: u16,
}

impl Weather {
    /// Nothing goes wrong.
    pub const FAIR: Weather = Weather {
        refused: 0,
        lost: 0,
        hung: 0,
        doubled: 0,
        slow: 0,
    };
}

/// What becomes of one call.
struct Fate {
    before: Duration,
    after: Duration,
    refused: Option<ExtensionError>,
    lost: Option<ExtensionError>,
    hung: bool,
    again: Option<Duration>,
}

/// The ways from engines to backends.
pub struct Network {
    executor: Executor,
    clock: Arc<TestClock>,
    seed: u64,
    weather: Weather,
    /// How many calls of each kind there were about each thing, by a figure that stands for the two.
    calls: Mutex<BTreeMap<u64, u64>>,
    healed: AtomicBool,
    watch: Arc<Watch>,
}

impl Network {
    /// Ways of this seed in this weather.
    pub fn new(executor: Executor, clock: Arc<TestClock>, seed: u64, weather: Weather, watch: Arc<Watch>) -> Network {
        Network {
            executor,
            clock,
            seed,
            weather,
            calls: Mutex::default(),
            healed: AtomicBool::new(false),
            watch,
        }
    }

    /// From now on nothing goes wrong; what is on its way still arrives as it was going to.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
    }

    fn fate(&self, name: CallName, about: &str, timeout: Duration) -> Fate {
        let count = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let mut hasher = DefaultHasher::new();
            (name, about).hash(&mut hasher);
            let count = calls.entry(hasher.finish()).or_default();
            *count += 1;
            *count
        };
        let mut hasher = DefaultHasher::new();
        (self.seed, name, about, count).hash(&mut hasher);
        let mut rng = fastrand::Rng::with_seed(hasher.finish());
        let mut fate = Fate {
            before: Duration::from_micros(rng.u64(100..20_000)),
            after: Duration::from_micros(rng.u64(100..20_000)),
            refused: None,
            lost: None,
            hung: false,
            again: None,
        };
        if self.healed.load(Ordering::Relaxed) {
            return fate;
        }
        let weather = self.weather;
        let mut drawn = rng.u16(..1000);
        let mut is = |share: u16| {
            let hit = drawn < share;
            drawn = drawn.saturating_sub(share);
            hit && {
                drawn = 1000;
                true
            }
        };
        if is(weather.refused) {
            fate.refused = Some(trouble(&mut rng, name, "was refused"));
        } else if is(weather.lost) {
            fate.lost = Some(trouble(&mut rng, name, "broke off"));
        } else if is(weather.hung) {
            fate.hung = true;
            fate.before = timeout.mul_f64(rng.f64() * 3.0);
        } else if is(weather.doubled) {
            fate.again = Some(timeout.mul_f64(rng.f64() * 2.0));
        } else if is(weather.slow) {
            fate.before = timeout.mul_f64(rng.f64() * 1.5);
            fate.after = timeout.mul_f64(rng.f64() * 0.5);
        }
        fate
    }

    /// Carries a call to the backend and its answer back.
    async fn carry<T, F, W>(&self, call: &Call, name: CallName, about: String, work: W) -> Result<T, ExtensionError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ExtensionError>> + Send,
        W: Fn() -> F + Send + Sync + 'static,
    {
        let fate = self.fate(name, &about, call.timeout);
        if let Some(error) = fate.refused {
            self.clock.sleep(fate.before).await;
            return Err(error);
        }
        let (answer, answered) = oneshot::channel();
        let clock = self.clock.clone();
        let lost = fate.lost;
        self.executor.spawn(Owner::World, async move {
            clock.sleep(fate.before).await;
            let outcome = work().await;
            if fate.again.is_none() || !fate.hung {
                clock.sleep(fate.after).await;
            }
            if !fate.hung {
                // The caller may have given up.
                let _ = answer.send(lost.map_or(outcome, Err));
            }
            if let Some(later) = fate.again {
                clock.sleep(later).await;
                let _ = work().await;
            }
        });
        let timeout = || {
            let what = format!("{name:?} did not answer within its time");
            ExtensionError::new(ErrorKind::Timeout, what)
        };
        tokio::select! {
            biased;
            outcome = answered => match outcome {
                Ok(outcome) => outcome,
                Err(_) => {
                    self.clock.sleep(call.timeout).await;
                    Err(timeout())
                }
            },
            () = self.clock.sleep(call.timeout) => Err(timeout()),
        }
    }
}

/// An error that may pass or not.
fn trouble(rng: &mut fastrand::Rng, name: CallName, how: &str) -> ExtensionError {
    let kind = match rng.u8(..4) {
        0 => ErrorKind::Failed,
        1 => ErrorKind::Timeout,
        _ => ErrorKind::Unavailable,
    };
    ExtensionError::new(kind, format!("{name:?} {how}"))
}

/// A backend as an engine sees it: at the other end of a network.
pub struct Remote {
    /// The backend.
    pub backend: Arc<FakeExtension>,
    /// The way there.
    pub network: Arc<Network>,
}

#[async_trait]
impl Extension for Remote {
    fn manifest(&self) -> &Manifest {
        self.backend.manifest()
    }

    async fn validate(&self, request: &ProvisionRequest) -> Result<Validation, ExtensionError> {
        self.backend.validate(request).await
    }

    async fn estimate_cost(&self, profile: &Profile, ttl: Span) -> Result<Quote, ExtensionError> {
        self.backend.estimate_cost(profile, ttl).await
    }

    async fn provision(&self, call: &Call, request: &ProvisionRequest) -> Result<Handle, ExtensionError> {
        let (backend, asked, wanted) = (self.backend.clone(), call.clone(), request.clone());
        self.network.watch.asks_to_make(call, &request.sandbox_id);
        self.network
            .carry(call, CallName::Provision, request.sandbox_id.to_string(), move || {
                let (backend, asked, wanted) = (backend.clone(), asked.clone(), wanted.clone());
                async move { backend.provision(&asked, &wanted).await }
            })
            .await
    }

    async fn wait_ready(&self, call: &Call, target: &Target) -> Result<Ready, ExtensionError> {
        let (backend, asked, which) = (self.backend.clone(), call.clone(), target.clone());
        self.network
            .carry(call, CallName::WaitReady, target.sandbox_id.to_string(), move || {
                let (backend, asked, which) = (backend.clone(), asked.clone(), which.clone());
                async move { backend.wait_ready(&asked, &which).await }
            })
            .await
    }

    async fn teardown(&self, call: &Call, target: &Target) -> Result<Removal, ExtensionError> {
        let (backend, asked, which) = (self.backend.clone(), call.clone(), target.clone());
        self.network.watch.asks_to_remove(call, &target.sandbox_id);
        self.network
            .carry(call, CallName::Teardown, target.sandbox_id.to_string(), move || {
                let (backend, asked, which) = (backend.clone(), asked.clone(), which.clone());
                async move { backend.teardown(&asked, &which).await }
            })
            .await
    }

    async fn observe(&self, call: &Call, target: &Target) -> Observation {
        let (backend, asked, which) = (self.backend.clone(), call.clone(), target.clone());
        let seen = self
            .network
            .carry(call, CallName::Observe, target.sandbox_id.to_string(), move || {
                let (backend, asked, which) = (backend.clone(), asked.clone(), which.clone());
                async move { Ok(backend.observe(&asked, &which).await) }
            })
            .await;
        seen.unwrap_or_else(|error| Observation {
            presence: Presence::Unknown,
            usable: None,
            ended: None,
            busy: None,
            detail: error.message,
        })
    }

    async fn inventory(&self, call: &Call) -> Inventory {
        self.list(call, None).await
    }

    async fn inventory_at(&self, call: &Call, host: &str) -> Inventory {
        self.list(call, Some(host.to_owned())).await
    }

    async fn probe_host(&self, call: &Call, host: &str) -> Result<HostProbe, ExtensionError> {
        let (backend, asked, which) = (self.backend.clone(), call.clone(), host.to_owned());
        self.network
            .carry(call, CallName::ProbeHost, host.to_owned(), move || {
                let (backend, asked, which) = (backend.clone(), asked.clone(), which.clone());
                async move { backend.probe_host(&asked, &which).await }
            })
            .await
    }

    async fn exec(
        &self,
        call: &Call,
        target: &Target,
        request: ExecRequest,
    ) -> Result<Box<dyn ExecSession>, ExtensionError> {
        self.backend.exec(call, target, request).await
    }

    async fn set_deadline(&self, call: &Call, target: &Target, deadline: Timestamp) -> Result<(), ExtensionError> {
        let (backend, asked, which) = (self.backend.clone(), call.clone(), target.clone());
        self.network
            .carry(call, CallName::SetDeadline, target.sandbox_id.to_string(), move || {
                let (backend, asked, which) = (backend.clone(), asked.clone(), which.clone());
                async move { backend.set_deadline(&asked, &which, deadline).await }
            })
            .await
    }
}

impl Remote {
    async fn list(&self, call: &Call, host: Option<String>) -> Inventory {
        let (backend, asked) = (self.backend.clone(), call.clone());
        let about = host.clone().unwrap_or_default();
        let listed = self
            .network
            .carry(call, CallName::Inventory, about, move || {
                let (backend, asked, host) = (backend.clone(), asked.clone(), host.clone());
                async move {
                    Ok(match host {
                        Some(host) => backend.inventory_at(&asked, &host).await,
                        None => backend.inventory(&asked).await,
                    })
                }
            })
            .await;
        let seen = listed.unwrap_or_else(|error| Inventory::Unknown { why: error.message });
        self.network
            .watch
            .saw(call, seen.items().iter().filter_map(|item| item.sandbox_id.as_ref()));
        seen
    }
}
