//! A way to a host that is slow, or breaks after so many bytes.
//!
//! A listener on this machine's loopback that passes everything on to the host's SSH server. It counts what passes, so
//! that a test can say how many connections and bytes an operation takes, and how often the two sides took turns.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::skip::Unavailable;

/// The proxy; it ends when this value is dropped, with every connection through it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    to: SocketAddr,
    delay: Duration,
    /// Bytes that may pass to the host; after that the connection is reset.
    cut_after: Option<u64>,
    is_over: AtomicBool,
    counts: Counters,
    /// Both ends of all connections, to be closed at the end.
    open: Mutex<Vec<TcpStream>>,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    turns: AtomicU64,
    cuts: AtomicU64,
    /// Who spoke last.
    up_spoke_last: AtomicBool,
}

/// What passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Connections made.
    pub connections: u64,
    /// Bytes towards the host.
    pub up: u64,
    /// Bytes from the host.
    pub down: u64,
    /// How often the host answered after the client had spoken: round trips, as far as nobody overlaps them.
    pub turns: u64,
    /// Connections that were cut.
    pub cuts: u64,
}

impl Proxy {
    /// A way that takes this much longer, each way. A connection takes two such times to be made.
    ///
    /// # Errors
    /// No port could be had.
    pub fn delay(host: &Host, delay: Duration) -> Result<Proxy, Unavailable> {
        Proxy::start(host, delay, None)
    }

    /// A way that passes so many bytes towards the host on each connection, and then resets it at both ends.
    ///
    /// # Errors
    /// No port could be had.
    pub fn cut_after(host: &Host, bytes: u64) -> Result<Proxy, Unavailable> {
        Proxy::start(host, Duration::ZERO, Some(bytes))
    }

    /// A way that only counts.
    ///
    /// # Errors
    /// No port could be had.
    pub fn count(host: &Host) -> Result<Proxy, Unavailable> {
        Proxy::start(host, Duration::ZERO, None)
    }

    fn start(host: &Host, delay: Duration, cut_after: Option<u64>) -> Result<Proxy, Unavailable> {
        let failed = |error: std::io::Error| Unavailable::broken("starting a proxy", error);
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state = Arc::new(State {
            to: host.ssh_socket(),
            delay,
            cut_after,
            is_over: AtomicBool::new(false),
            counts: Counters::default(),
            open: Mutex::new(Vec::new()),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.is_over.load(Ordering::Acquire) {
                    return;
                }
                let state = Arc::clone(&shared);
                std::thread::spawn(move || state.connect(client));
            }
        });
        Ok(Proxy { address, state })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// A client's configuration file for the way through it, with the alias of the host.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn ssh_config(&self, host: &Host) -> Result<PathBuf, Unavailable> {
        host.ssh_config_through(self.port())
    }

    /// What passed so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.state.counts;
        Counts {
            connections: read(&counters.connections),
            up: read(&counters.up),
            down: read(&counters.down),
            turns: read(&counters.turns),
            cuts: read(&counters.cuts),
        }
    }

    /// Resets every connection through it, now.
    pub fn cut_now(&self) {
        self.state.close_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Release);
        self.state.close_all();
        // The listener waits in accept; one more connection makes it look.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

/// Bytes with the time at which they arrive.
type Parcel = (Instant, Vec<u8>);

impl State {
    fn connect(self: &Arc<State>, client: TcpStream) {
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        // The handshake of the real way would take one round trip; the one to here took none.
        pause_until(Instant::now() + self.delay * 2);
        let Ok(host) = TcpStream::connect_timeout(&self.to, Duration::from_secs(30)) else {
            reset(&client);
            return;
        };
        let _ = (client.set_nodelay(true), host.set_nodelay(true));
        let ends = [
            client.try_clone(),
            host.try_clone(),
            client.try_clone(),
            host.try_clone(),
        ];
        let [Ok(client_out), Ok(host_out), Ok(client_kept), Ok(host_kept)] = ends else {
            return;
        };
        if let Ok(mut open) = self.open.lock() {
            open.extend([client_kept, host_kept]);
        }
        self.pass(client, host_out, Way::Up);
        self.pass(host, client_out, Way::Down);
    }

    /// One thread reads and stamps, another one waits and writes, so that the delay does not take bandwidth.
    fn pass(self: &Arc<State>, from: TcpStream, to: TcpStream, way: Way) {
        let (sender, receiver) = channel();
        let state = Arc::clone(self);
        std::thread::spawn(move || state.read(from, &sender, way));
        std::thread::spawn(move || deliver(to, &receiver));
    }

    fn read(&self, mut from: TcpStream, sender: &Sender<Parcel>, way: Way) {
        let mut buffer = vec![0u8; 64 * 1024];
        let mut passed = 0;
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let room = self.cut_after.filter(|_| way == Way::Up).map(|most| most - passed);
            let count = count.min(room.map_or(usize::MAX, |room| usize::try_from(room).unwrap_or(usize::MAX)));
            passed += count as u64;
            self.note(way, count as u64);
            let bytes = buffer.get(..count).unwrap_or_default().to_vec();
            if sender.send((Instant::now() + self.delay, bytes)).is_err() {
                return;
            }
            if room == Some(count as u64) {
                self.counts.cuts.fetch_add(1, Ordering::Relaxed);
                self.close_all();
                return;
            }
        }
    }

    fn note(&self, way: Way, count: u64) {
        let counts = &self.counts;
        match way {
            Way::Up => {
                counts.up.fetch_add(count, Ordering::Relaxed);
                counts.up_spoke_last.store(true, Ordering::Relaxed);
            }
            Way::Down => {
                counts.down.fetch_add(count, Ordering::Relaxed);
                if counts.up_spoke_last.swap(false, Ordering::Relaxed) {
                    counts.turns.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn close_all(&self) {
        let open = self.open.lock().map(|mut open| std::mem::take(&mut *open));
        open.into_iter().flatten().for_each(|end| reset(&end));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

fn deliver(mut to: TcpStream, parcels: &Receiver<Parcel>) {
    for (at, bytes) in parcels {
        pause_until(at);
        if to.write_all(&bytes).is_err() {
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn pause_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}

/// Closes a connection without a good-bye: the other end reads "connection reset".
fn reset(end: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(end, Some(Duration::ZERO));
    let _ = end.shutdown(Shutdown::Both);
}
