//! Somebody who minds their own business while others misbehave: how long their requests take. Beside them, somebody whose server
//! is left alone: what happens to both is the machine's doing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::http::{Ask, Line};

/// From where they come: not from where attacks do.
const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));
/// Requests of one measurement.
const REQUESTS: usize = 150;
/// From one request to the next: a little less than what a key may ask for.
const APART: Duration = Duration::from_millis(11);
/// How long is measured at most: who gets no further has said enough.
const LONGEST: Duration = Duration::from_secs(8);
/// What may come on top, whatever the baseline: a debug build on a busy machine.
const NOISE: Duration = Duration::from_millis(25);
/// How often it may be too much. What is measured while a server that is left alone is slow as well says nothing.
const TRIES: usize = 3;
/// How long is waited for a machine that is quiet enough to tell.
const QUIET: Duration = Duration::from_secs(75);
/// How long a single answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// One of them.
#[derive(Clone)]
pub(crate) struct Victim {
    pub(crate) to: SocketAddr,
    pub(crate) token: String,
    /// The sandbox that is looked at.
    pub(crate) sandbox: String,
}

/// What nearly all requests stayed below.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "median {:.1?}, p99 {:.1?}", self.median, self.p99)
    }
}

impl Victim {
    /// Looks at their sandbox again and again, on a thread of their own: what attackers do must not hold up the clock.
    pub(crate) async fn measure(&self) -> Figures {
        let own = self.clone();
        let (tell, told) = tokio::sync::oneshot::channel();
        let measuring = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let _ = tell.send(runtime.block_on(own.look()));
        };
        std::thread::spawn(measuring);
        told.await.unwrap()
    }

    async fn look(&self) -> Figures {
        let mut line = Line::open(self.to, FROM).await.unwrap();
        let ask = Ask::get(&format!("/v1/sandboxes/{}", self.sandbox)).key(&self.token);
        let mut ticks = tokio::time::interval(APART);
        let mut took = Vec::new();
        let whole = Instant::now();
        while took.len() < REQUESTS && whole.elapsed() < LONGEST {
            ticks.tick().await;
            let began = Instant::now();
            line.ask(&ask).await.unwrap().expect(200);
            took.push(began.elapsed());
        }
        took.sort_unstable();
        Figures {
            median: took[took.len() / 2],
            p99: took[took.len() * 99 / 100],
        }
    }

    /// Looks at their sandbox over a connection of its own from this address, and returns the status.
    pub(crate) async fn knock(&self, from: IpAddr) -> u16 {
        let ask = Ask::get(&format!("/v1/sandboxes/{}", self.sandbox)).key(&self.token);
        let answered = async {
            let mut line = Line::open(self.to, from).await.unwrap();
            line.ask(&ask).await.unwrap()
        };
        // One that the kernel lost, as it may when many come at once, is no answer either.
        let reply = tokio::time::timeout(PATIENCE, answered).await.unwrap();
        // No faster than their key may ask.
        tokio::time::sleep(APART).await;
        reply.status
    }

    /// Measures while something goes on, which must not make much of a difference to somebody whose server is left alone, or to
    /// before.
    pub(crate) async fn compare(&self, what: &str, before: Figures, bystander: &Victim) {
        let (began, mut seen, mut counted) = (Instant::now(), Vec::new(), 0);
        while counted < TRIES && began.elapsed() < QUIET {
            let (during, beside) = tokio::join!(self.measure(), bystander.measure());
            seen.push((during, beside));
            let base = before.p99.max(beside.p99);
            let is_alone = beside.p99 <= before.p99 + NOISE * 2;
            counted += usize::from(is_alone);
            if is_alone && during.p99 <= (base * 2).max(base + NOISE) {
                eprintln!(
                    "{what}: {during}; before: {before}; a server that is left alone: {beside}; {} measured",
                    seen.len()
                );
                return;
            }
        }
        panic!("{what}: p99 is too much in each of {seen:?}, of which {counted} count; before: {before}");
    }
}
