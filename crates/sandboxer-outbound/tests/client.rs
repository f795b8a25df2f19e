//! Requests go where they may and nowhere else, and end in time whatever the other side does.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by it")]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandboxer_extension::port::{ChosenBy, Outbound, OutboundError, OutboundErrorKind, OutboundReply, OutboundRequest};
use sandboxer_outbound::{Allow, HttpOutbound, MOST_BODY, Resolver};
use support::{Reply, Server};

/// The caller's runtime knows no sockets, as the one of commands does not.
fn send(outbound: &HttpOutbound, request: OutboundRequest) -> Result<OutboundReply, OutboundError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(outbound.send(request))
}

fn post(url: &str, chosen_by: ChosenBy) -> OutboundRequest {
    OutboundRequest {
        method: "POST".to_owned(),
        url: url.to_owned(),
        chosen_by,
        headers: vec![("x-test".to_owned(), "1".to_owned())],
        body: b"{\"a\":1}".to_vec(),
        timeout: Duration::from_secs(20),
    }
}

fn plain() -> HttpOutbound {
    HttpOutbound::new(Allow::default())
}

#[test]
fn a_request_arrives_as_it_was_written_and_so_does_the_answer() {
    let server = Server::start(|_, _| Reply::Full(201, vec![("Retry-After", "7".to_owned())], b"yes".to_vec()));
    let reply = send(&plain(), post(&format!("{}/a/b?c=d", server.url()), ChosenBy::Operator)).unwrap();
    assert_eq!(
        (reply.status, reply.body.as_slice(), reply.header("retry-after")),
        (201, &b"yes"[..], Some("7"))
    );
    let request = server.requests().pop().unwrap();
    assert_eq!(
        (request.line.as_str(), request.body.as_slice()),
        ("POST /a/b?c=d HTTP/1.1", &b"{\"a\":1}"[..])
    );
    assert_eq!(
        (request.header("host"), request.header("x-test")),
        (server.address.to_string().as_str(), "1")
    );
}

#[test]
fn users_reach_no_private_place_whatever_it_is_called() {
    let server = Server::start(|_, _| Reply::Status(200));
    let port = server.address.port();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "x.localhost",
        "127.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[::]",
        "169.254.169.254",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "[fd00::1]",
        "[fe80::1]",
        "127.0.0.1.",
        "metadata",
    ];
    // A resolver that leads everything here.
    let here: Resolver = Arc::new(move |_, port| Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]));
    for outbound in [plain(), HttpOutbound::with_resolver(Allow::default(), here)] {
        for host in hosts {
            for (scheme, port) in [
                ("http", format!(":{port}")),
                ("https", format!(":{port}")),
                ("https", String::new()),
            ] {
                let url = format!("{scheme}://{host}{port}/");
                let error = send(&outbound, post(&url, ChosenBy::User)).unwrap_err();
                // A name that nobody knows is no way in either.
                let refused = matches!(
                    error.kind,
                    OutboundErrorKind::Forbidden | OutboundErrorKind::Unreachable
                );
                assert!(refused, "{url}: {error}");
            }
        }
    }
    assert_eq!(server.connections(), 0, "somebody was let in");
}

#[test]
fn a_name_is_looked_up_once_and_what_was_checked_is_what_is_reached() {
    let server = Server::start(|_, _| Reply::Status(200));
    let port = server.address.port();
    let asked = Arc::new(AtomicUsize::new(0));
    let other = Server::start(|_, _| Reply::Status(200));
    // One place the first time, another ever after.
    let rebinding = {
        let (asked, first, later) = (asked.clone(), server.address, other.address);
        Arc::new(move |_: &str, _: u16| {
            let is_first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            Ok(vec![if is_first { first } else { later }])
        })
    };
    let outbound = HttpOutbound::with_resolver(Allow::parse("127.0.0.0/8").unwrap(), rebinding);
    let request = post(&format!("http://rebind.example:{port}/"), ChosenBy::User);
    assert_eq!(send(&outbound, request).unwrap().status, 200);
    assert_eq!(
        (asked.load(Ordering::SeqCst), server.connections(), other.connections()),
        (1, 1, 0)
    );
    // One bad address among good ones spoils them all.
    let mixed = Arc::new(|_: &str, port: u16| {
        let good: IpAddr = [8, 8, 8, 8].into();
        let bad: IpAddr = [127, 0, 0, 1].into();
        Ok(vec![SocketAddr::new(good, port), SocketAddr::new(bad, port)])
    });
    let outbound = HttpOutbound::with_resolver(Allow::default(), mixed);
    let error = send(&outbound, post("https://mixed.example/", ChosenBy::User)).unwrap_err();
    assert_eq!(error.kind, OutboundErrorKind::Forbidden);
    assert!(error.why.contains("127.0.0.1"), "{error}");
    assert_eq!(server.connections(), 1);
    // What the operator names is reached by whatever address it has.
    let allow = Allow::parse(&format!("hooks.lan:{port}")).unwrap();
    let here = Arc::new(|_: &str, port: u16| Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]));
    let outbound = HttpOutbound::with_resolver(allow, here);
    assert_eq!(
        send(&outbound, post(&format!("http://hooks.lan:{port}/"), ChosenBy::User))
            .unwrap()
            .status,
        200
    );
    let other = format!("http://other.lan:{port}/");
    assert_eq!(
        send(&outbound, post(&other, ChosenBy::User)).unwrap_err().kind,
        OutboundErrorKind::Forbidden
    );
    // And so is a block of addresses.
    let outbound = HttpOutbound::new(Allow::parse("127.0.0.0/8").unwrap());
    assert_eq!(
        send(&outbound, post(&server.url(), ChosenBy::User)).unwrap().status,
        200
    );
}

#[test]
fn redirects_are_answers() {
    let inner = Server::start(|_, _| Reply::Status(200));
    let to = inner.url();
    let outer = Server::start(move |_, _| Reply::Full(302, vec![("Location", to.clone())], Vec::new()));
    let reply = send(&plain(), post(&outer.url(), ChosenBy::Operator)).unwrap();
    assert_eq!((reply.status, inner.connections()), (302, 0));
}

#[test]
fn whatever_the_other_side_does_a_request_ends() {
    // Each is told by its path: whether one arrived at all whose time was over does not matter to the next.
    let server = Server::start(|_, request| match request.line.split(' ').nth(1) {
        Some("/hang") => Reply::Hang,
        Some("/cut") => Reply::Cut,
        Some("/half") => Reply::Half,
        Some("/much") => Reply::Full(200, Vec::new(), vec![b'x'; 4 * MOST_BODY]),
        Some("/long-head") => Reply::Full(200, vec![("x-long", "y".repeat(200_000))], Vec::new()),
        _ => Reply::Status(200),
    });
    let outbound = plain();
    let to = |path: &str| post(&format!("{}{path}", server.url()), ChosenBy::Operator);
    let mut request = to("/hang");
    request.timeout = Duration::from_millis(200);
    assert_eq!(send(&outbound, request).unwrap_err().kind, OutboundErrorKind::TimedOut);
    for path in ["/cut", "/half", "/long-head"] {
        let error = send(&outbound, to(path)).unwrap_err();
        assert_eq!(error.kind, OutboundErrorKind::Lost, "{path}: {error}");
    }
    let reply = send(&outbound, to("/much")).unwrap();
    assert_eq!((reply.status, reply.body.len()), (200, MOST_BODY));
    assert_eq!(send(&outbound, to("/")).unwrap().status, 200);
    let gone = server.url();
    drop(server);
    let error = send(&outbound, post(&gone, ChosenBy::Operator)).unwrap_err();
    assert_eq!(error.kind, OutboundErrorKind::Unreachable);
    assert!(error.why.ends_with("connection refused"), "{error}");
}

#[test]
fn what_cannot_be_written_as_a_request_is_not_sent() {
    let server = Server::start(|_, _| Reply::Status(200));
    let outbound = plain();
    for (name, value) in [("a b", "x"), ("a", "x\r\nb: y"), ("", "x")] {
        let mut request = post(&server.url(), ChosenBy::Operator);
        request.headers.push((name.to_owned(), value.to_owned()));
        assert_eq!(
            send(&outbound, request).unwrap_err().kind,
            OutboundErrorKind::Forbidden,
            "{name:?}"
        );
    }
    for url in ["", "http://", "http://a:b@127.0.0.1/", "file:///etc/passwd"] {
        let error = send(&outbound, post(url, ChosenBy::Operator)).unwrap_err();
        assert_eq!(error.kind, OutboundErrorKind::Forbidden, "{url}");
        assert!(outbound.admits(url, ChosenBy::Operator).is_err(), "{url}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn the_public_internet_is_reached_over_tls_on_its_own_port_only() {
    let public: Resolver = Arc::new(|_, port| Ok(vec![SocketAddr::from(([8, 8, 8, 8], port))]));
    // With a block on the list, names must be looked up before anything can be said.
    for allow in [Allow::default(), Allow::parse("10.0.0.0/8").unwrap()] {
        let outbound = HttpOutbound::with_resolver(allow, public.clone());
        for url in [
            "http://8.8.8.8/",
            "https://8.8.8.8:8443/",
            "http://name.example/",
            "https://name.example:8443/",
        ] {
            let error = send(&outbound, post(url, ChosenBy::User)).unwrap_err();
            assert_eq!(error.kind, OutboundErrorKind::Forbidden, "{url}");
        }
        for url in [
            "https://8.8.8.8/",
            "https://name.example/",
            "https://name.example:443/x",
        ] {
            assert!(outbound.admits(url, ChosenBy::User).is_ok(), "{url}");
        }
        assert!(outbound.admits("http://127.0.0.1:1/", ChosenBy::Operator).is_ok());
    }
}
