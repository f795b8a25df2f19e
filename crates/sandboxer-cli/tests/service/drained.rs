//! The server is told to stop while sandboxes are being made: every request is answered, what was accepted is made by the next
//! server, and it leaves in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::http::{Ask, HOME, Line, runtime};
use crate::load::{Crowd, count, listed, on_the_machine, remove_all, until};
use crate::server::{FREE, Server, key, unbound};
use crate::support::{World, wait_until};

const MANY: usize = 120;
/// How long a server may take to leave.
const LEAVE: Duration = Duration::from_secs(35);

#[test]
fn who_is_served_is_answered_and_what_was_accepted_goes_on() {
    let world = World::new();
    let runtime = runtime();
    let token = key(&world, "crowd", "atm", Some("p"));
    unbound(&world, "p");
    let mut server = Server::start(&world, &FREE);
    let crowd = runtime.block_on(async { Crowd::start(&server, &token, "stop", MANY) });
    let tally = Arc::clone(&crowd.tally);
    let load = |number: &AtomicUsize| number.load(Ordering::Relaxed);
    // Whom nobody has heard is not served yet.
    let is_time = || load(&tally.asked) == MANY && load(&tally.answered) >= 5 && unheard(&server) == 0;
    runtime.block_on(until("all are served, and some have theirs", is_time));
    let (told, unanswered) = (Instant::now(), MANY - load(&tally.answered));
    server.signal(Signal::TERM);
    while !server.has_ended() && told.elapsed() < LEAVE {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let took = told.elapsed();
    assert!(server.has_ended(), "it has not left after {LEAVE:?}");
    let lines = server.says();
    assert_eq!(server.end(), Some(0), "{lines}");
    let open = count(&world, "SELECT COUNT(*) FROM operation WHERE is_open = 1");
    eprintln!(
        "stopped with {unanswered} unanswered: it left after {took:.1?}, {} told that it stops, {} cut off, {open} operations left \
         to the next",
        load(&tally.draining),
        load(&tally.cut),
    );
    assert_eq!(load(&tally.cut), 0, "requests that were under way got no answer");

    let server = Server::start(&world, &FREE);
    crowd.moved_to(&server);
    let of_keys = runtime.block_on(crowd.all());
    let ids: std::collections::BTreeSet<String> = of_keys.into_values().collect();
    assert_eq!(ids.len(), MANY, "keys share sandboxes");
    wait_until("all are ready", || {
        let all = runtime.block_on(listed(&server, &token));
        let ready = all.iter().filter(|one| one["state"] == "ready").count();
        if ready == all.len() && ready == MANY {
            Ok(())
        } else {
            Err(format!("{ready} of {}", all.len()))
        }
    });
    assert_eq!(on_the_machine(&world), ids);
    runtime.block_on(remove_all(&server, &token, ids));
    server.stop();
}

/// What the kernel has taken for the server and the server has not, see `proc_pid_net(5)`: connections that its listening socket
/// has to give out, and bytes that are on the way to the others or were not read from them.
fn unheard(server: &Server) -> u64 {
    let port = format!(":{:04X}", server.address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect());
    rows.map(|row: Vec<&str>| {
        let (sent, read) = row[4].split_once(':').unwrap();
        let is_to = |end: &str, queue: &str| match end.ends_with(&port) {
            true => u64::from_str_radix(queue, 16).unwrap(),
            false => 0,
        };
        is_to(row[1], read) + is_to(row[2], sent)
    })
    .sum()
}

#[test]
fn who_waits_for_long_is_told_that_it_stops() {
    let world = World::new();
    let runtime = runtime();
    let token = key(&world, "waiter", "atm", Some("p"));
    let server = Server::start(&world, &[]);
    let id = world.create(&[]);
    let adm = key(&world, "root", "adm", None);
    let reply = runtime.block_on(async {
        let mut line = Line::open(server.address, HOME).await.unwrap();
        let path = format!("/v1/sandboxes/{id}/wait?state=destroyed&timeout=600s");
        line.write(&Ask::get(&path).key(&adm).wire()).await.unwrap();
        // Its request was read, and somebody else is answered after that.
        until("the server has heard it", || unheard(&server) == 0).await;
        server.ask(&Ask::get("/v1/me").key(&token)).await.expect(200);
        server.signal(Signal::TERM);
        line.read().await
    });
    let began = Instant::now();
    assert_eq!(server.end(), Some(0));
    eprintln!("{:.1?} from the answer to its end", began.elapsed());
    let reply = reply.unwrap_or_else(|error| panic!("no answer: {error}"));
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (503, "draining"),
        "{}",
        reply.text()
    );
    world.destroy(&id);
}
