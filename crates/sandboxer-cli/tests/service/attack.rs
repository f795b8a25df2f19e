//! Ways to misbehave. Each goes on until it is told to stop, and counts what it was answered.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::http::{Ask, Line};

/// From where attacks come.
pub(crate) const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// From one time to the next, of each attacker: with no pause, the machine would be busy with the attackers themselves.
const APART: Duration = Duration::from_millis(20);

/// What was answered, and how often: a status, or that the connection was closed.
#[derive(Default, Clone)]
pub(crate) struct Answers(Arc<Mutex<BTreeMap<String, usize>>>);

impl Answers {
    pub(crate) fn add(&self, what: impl ToString) {
        *self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(what.to_string())
            .or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An attack under way.
pub(crate) struct Attack {
    pub(crate) answers: Answers,
    stop: Arc<AtomicBool>,
    attackers: JoinSet<()>,
}

impl Attack {
    /// So many attackers at once, each of which does `once` again and again.
    pub(crate) fn start<F>(attackers: usize, once: impl Fn(Answers) -> F + Clone + Send + 'static) -> Attack
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut attack = Attack {
            answers: Answers::default(),
            stop: Arc::default(),
            attackers: JoinSet::new(),
        };
        for _ in 0..attackers {
            let (once, answers, stop) = (once.clone(), attack.answers.clone(), Arc::clone(&attack.stop));
            attack.attackers.spawn(async move {
                let mut ticks = tokio::time::interval(APART);
                while !stop.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    once(answers.clone()).await;
                }
            });
        }
        attack
    }

    /// Lets each come to the end of what it does.
    pub(crate) async fn stop(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }

    /// Waits until they have stopped by themselves.
    pub(crate) async fn finish(mut self) -> Answers {
        while let Some(one) = self.attackers.join_next().await {
            one.unwrap();
        }
        self.answers
    }
}

/// Sends bytes over a connection of its own and counts the answer.
pub(crate) async fn say(to: SocketAddr, bytes: &[u8], answers: &Answers) {
    let answered = async {
        let mut line = Line::open(to, FROM).await?;
        // Who is refused in the middle of what it says cannot say the rest.
        let _ = line.write(bytes).await;
        line.read().await
    };
    match answered.await {
        Ok(reply) => answers.add(reply.status),
        Err(error) => answers.add(error.kind()),
    }
}

/// A head that comes a byte at a time and never ends; counts how the connection ends.
pub(crate) async fn drip(to: SocketAddr, answers: Answers) {
    let mut line = match Line::open(to, FROM).await {
        Ok(line) => line,
        Err(error) => return answers.add(error.kind()),
    };
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    let _ = line.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\na: ").await;
    loop {
        ticks.tick().await;
        if line.write(b"b").await.is_err() {
            break;
        }
    }
    answers.add(match line.read().await {
        Ok(reply) => reply.status.to_string(),
        Err(_) => "closed".to_owned(),
    });
}

/// A body in pieces that never ends.
pub(crate) async fn endless(to: SocketAddr, token: String, answers: Answers) {
    let head = Ask::new("POST", "/v1/sandboxes")
        .key(&token)
        .header("content-type", "application/json")
        .header("transfer-encoding", "chunked");
    let mut line = match Line::open(to, FROM).await {
        Ok(line) => line,
        Err(error) => return answers.add(error.kind()),
    };
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let _ = line.write(&head.wire()).await;
    // What is refused is refused long before this.
    for _ in 0..1024 {
        if line.write(&chunk).await.is_err() {
            break;
        }
    }
    match line.read().await {
        Ok(reply) => answers.add(reply.status),
        Err(error) => answers.add(error.kind()),
    }
}
