//! What a Docker engine of version 20.10 does with networks: the facts isolation is built on.

use sandboxer_testbed::network::{METADATA, PUBLIC};
use sandboxer_testbed::{Compose, Host, Plan, or_skip};

/// Two networks without a way out, the second without an address for the host, and a server on every address of the host.
fn host_with_networks() -> Result<Host, sandboxer_testbed::Unavailable> {
    let host = Host::start(Plan::new().compose(Compose::None))?;
    host.sh(
        "docker network create --internal --subnet 172.30.0.0/28 plain
         docker network create --internal --subnet 172.30.0.16/28 --opt com.docker.network.bridge.inhibit_ipv4=true bare
         echo of the host >/tmp/page; busybox httpd -p 9999 -h /tmp
         for n in plain:172.30.0.5 bare:172.30.0.20; do
             docker run -d --init --name c-${n%%:*} --network ${n%%:*} --ip ${n#*:} busybox:stable httpd -f -p 80 -h /etc
         done",
    )?;
    Ok(host)
}

fn reaches(host: &Host, container: &str, url: &str) -> bool {
    let words = [
        "docker", "exec", container, "timeout", "2", "wget", "-q", "-O", "-", url,
    ];
    host.run(&words).unwrap().is_success()
}

#[test]
fn an_internal_network_does_not_keep_a_container_from_the_host() {
    let host = or_skip!("internal networks and the host", host_with_networks());
    let docker0 = "172.17.0.1".to_owned();
    for address in ["172.30.0.1".to_owned(), host.ip(), docker0] {
        assert!(
            reaches(&host, "c-plain", &format!("http://{address}:9999/page")),
            "{address}"
        );
    }
    for address in [PUBLIC, METADATA, "172.30.0.20"] {
        assert!(!reaches(&host, "c-plain", &format!("http://{address}/")), "{address}");
    }
    assert!(
        host.run(&["timeout", "2", "busybox", "wget", "-qO-", "http://172.30.0.5/passwd"])
            .unwrap()
            .is_success()
    );
}

#[test]
fn without_an_address_on_the_bridge_neither_reaches_the_other() {
    let host = or_skip!("a bridge without an address", host_with_networks());
    for address in ["172.30.0.1", "172.30.0.17", &host.ip(), "172.17.0.1"] {
        assert!(
            !reaches(&host, "c-bare", &format!("http://{address}:9999/page")),
            "{address}"
        );
    }
    for address in [PUBLIC, METADATA, "172.30.0.5"] {
        assert!(!reaches(&host, "c-bare", &format!("http://{address}/")), "{address}");
    }
    assert!(
        !host
            .run(&["timeout", "2", "busybox", "wget", "-qO-", "http://172.30.0.20/passwd"])
            .unwrap()
            .is_success()
    );
}

#[test]
fn an_ordinary_network_reaches_the_outside() {
    let host = or_skip!("an ordinary network", host_with_networks());
    host.docker(&[
        "run",
        "-d",
        "--init",
        "--name",
        "free",
        "busybox:stable",
        "sleep",
        "1000",
    ])
    .unwrap();
    for url in [
        &format!("http://{PUBLIC}/"),
        &format!("http://{METADATA}/latest/meta-data/"),
        "http://web.example/",
    ] {
        assert!(reaches(&host, "free", url), "{url}");
    }
    assert!(host.asked().contains(&"web.example".to_owned()));
}

#[test]
fn a_resolver_on_the_hosts_loopback_answers_internal_networks_too_unless_they_name_their_own() {
    let host = or_skip!("names on internal networks", host_with_networks());
    host.sh("echo nameserver 127.0.0.53 >/etc/resolv.conf
         setsid python3 /run/testbed/resolver.py 127.0.0.53 /run/testbed/asked >/dev/null 2>&1 &")
        .unwrap();
    let lookup = |name: &str, options: &[&str]| {
        let words = [
            &["docker", "run", "--rm", "--network", "bare"],
            options,
            &["busybox:stable"],
        ]
        .concat();
        let words = [words.as_slice(), &["timeout", "3", "nslookup", name]].concat();
        host.run(&words).unwrap().stdout
    };
    assert!(lookup("one.example", &[]).contains(PUBLIC));
    assert!(
        host.asked().contains(&"one.example".to_owned()),
        "names leave an internal network"
    );
    assert!(!lookup("two.example", &["--dns", "127.0.0.1"]).contains(PUBLIC));
    assert!(!host.asked().contains(&"two.example".to_owned()));
    assert!(
        lookup("c-bare", &["--dns", "127.0.0.1"]).contains("172.30.0.20"),
        "names of the network are answered"
    );
}

#[test]
fn a_port_of_an_internal_network_is_published_nowhere() {
    let host = or_skip!("ports of internal networks", host_with_networks());
    let words = [
        "run",
        "-d",
        "--init",
        "--name",
        "shown",
        "--network",
        "plain",
        "-p",
        "127.0.0.1:8081:80",
    ];
    host.docker(&[&words[..], &["busybox:stable", "httpd", "-f", "-p", "80"]].concat())
        .unwrap();
    assert_eq!(host.docker(&["port", "shown"]).unwrap(), "");
    assert_eq!(host.sh("ss -Hltn 'sport = :8081'").unwrap(), "");
}
