//! Receivers of events in a world: each remembers what it was sent, and misbehaves as told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandboxer_extension::async_trait;
use sandboxer_extension::port::{
    ChosenBy, Clock, Outbound, OutboundError, OutboundErrorKind, OutboundReply, OutboundRequest,
};

/// What a receiver does with the next request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// Takes it and says so with this status.
    Takes(u16),
    /// Does not take it, and says so with this status.
    Refuses(u16),
    /// Does not take it, and wishes to be left alone for so many seconds.
    Wishes(u16, u64),
    /// Takes it, and answers 500.
    TakesAndFails,
    /// Takes it, and the answer is lost.
    TakesAndCuts,
    /// Takes it after this long; whoever waits less learns nothing.
    Slow(Duration),
    /// Is not there.
    Down,
}

/// One request that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Headers as sent.
    pub headers: Vec<(String, String)>,
    /// Body as sent.
    pub body: Vec<u8>,
}

impl Received {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

type Rule = Box<dyn FnMut(u64, &OutboundRequest) -> Manner + Send>;

struct Receiver {
    rule: Rule,
    asked: u64,
    received: Vec<Received>,
}

/// All receivers of a world, by the beginning of their address.
pub struct Receivers {
    clock: Arc<dyn Clock>,
    state: Mutex<BTreeMap<String, Receiver>>,
}

impl Receivers {
    /// No receivers yet.
    pub fn new(clock: Arc<dyn Clock>) -> Receivers {
        Receivers {
            clock,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, BTreeMap<String, Receiver>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on whoever asks what begins with `url` is answered by this rule: it is given how many were asked before, and
    /// the request. What was received stays.
    pub fn set(&self, url: &str, rule: impl FnMut(u64, &OutboundRequest) -> Manner + Send + 'static) {
        let mut state = self.state();
        match state.get_mut(url) {
            Some(receiver) => receiver.rule = Box::new(rule),
            None => {
                let receiver = Receiver {
                    rule: Box::new(rule),
                    asked: 0,
                    received: Vec::new(),
                };
                state.insert(url.to_owned(), receiver);
            }
        }
    }

    /// How often this receiver was asked, whether it took anything or not.
    pub fn asked(&self, url: &str) -> u64 {
        self.state().get(url).map_or(0, |receiver| receiver.asked)
    }

    /// What this receiver took, in order.
    pub fn received(&self, url: &str) -> Vec<Received> {
        self.state()
            .get(url)
            .map(|receiver| receiver.received.clone())
            .unwrap_or_default()
    }

    fn decide(&self, request: &OutboundRequest) -> Option<Manner> {
        let mut state = self.state();
        let (_, receiver) = state.iter_mut().find(|(url, _)| request.url.starts_with(*url))?;
        let manner = (receiver.rule)(receiver.asked, request);
        receiver.asked += 1;
        Some(manner)
    }

    fn take(&self, request: &OutboundRequest) {
        let mut state = self.state();
        if let Some((_, receiver)) = state.iter_mut().find(|(url, _)| request.url.starts_with(*url)) {
            receiver.received.push(Received {
                headers: request.headers.clone(),
                body: request.body.clone(),
            });
        }
    }
}

#[async_trait]
impl Outbound for Receivers {
    fn admits(&self, _: &str, _: ChosenBy) -> Result<(), OutboundError> {
        Ok(())
    }

    async fn send(&self, request: OutboundRequest) -> Result<OutboundReply, OutboundError> {
        let failed = |kind, why: &str| {
            Err(OutboundError {
                url: request.url.clone(),
                kind,
                why: why.to_owned(),
            })
        };
        // Others have their turn, as with a real connection.
        tokio::task::yield_now().await;
        let answer = |status, wish: Option<u64>| {
            let headers = wish.map(|seconds| ("retry-after".to_owned(), seconds.to_string()));
            Ok(OutboundReply {
                status,
                headers: headers.into_iter().collect(),
                body: Vec::new(),
            })
        };
        match self.decide(&request) {
            None | Some(Manner::Down) => failed(OutboundErrorKind::Unreachable, "connection refused"),
            Some(Manner::Takes(status)) => {
                self.take(&request);
                answer(status, None)
            }
            Some(Manner::Refuses(status)) => answer(status, None),
            Some(Manner::Wishes(status, seconds)) => answer(status, Some(seconds)),
            Some(Manner::TakesAndFails) => {
                self.take(&request);
                answer(500, None)
            }
            Some(Manner::TakesAndCuts) => {
                self.take(&request);
                failed(OutboundErrorKind::Lost, "connection closed")
            }
            Some(Manner::Slow(duration)) => {
                self.take(&request);
                self.clock.sleep(duration.min(request.timeout)).await;
                if duration > request.timeout {
                    return failed(OutboundErrorKind::TimedOut, "nothing came back");
                }
                answer(200, None)
            }
        }
    }
}

/// What is wrong with what a receiver took, compared with the events of the books: once those are dropped that it has
/// seen before, every sandbox must have told its whole history in order.
pub fn wrong_histories(received: &[Received], events: &[sandboxer_model::event::Event]) -> Vec<String> {
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, one) in received.iter().enumerate() {
        let body = one.json();
        // An entry of a hub, or a message of a webhook.
        let facts = if body.get("data").is_some() {
            &body["data"]
        } else {
            &body["detail"]
        };
        let sandbox = facts["sandbox_id"].as_str().unwrap_or_default();
        let seq = facts["seq"].as_u64().unwrap_or(0);
        let last = told.entry(sandbox.to_owned()).or_insert(0);
        match seq {
            seq if seq == *last + 1 => *last = seq,
            seq if seq > 0 && seq <= *last => {}
            _ => found.push(format!("request {index}: {sandbox} told of {seq} after {last}")),
        }
    }
    let mut books: BTreeMap<String, u64> = BTreeMap::new();
    for event in events {
        let last = books.entry(event.sandbox_id.to_string()).or_insert(0);
        *last = (*last).max(event.seq);
    }
    if found.is_empty() && told != books {
        let differ = |(id, last): (&String, &u64)| {
            let heard = told.get(id).copied().unwrap_or(0);
            (heard != *last).then(|| format!("{id}: told of {heard}, happened {last}"))
        };
        found.extend(books.iter().filter_map(differ));
        let strange = told.keys().filter(|id| !books.contains_key(*id));
        found.extend(strange.map(|id| format!("{id} is nobody's")));
    }
    found
}
