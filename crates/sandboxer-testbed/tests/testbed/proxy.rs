//! Ways to a host that are slow, or break.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use sandboxer_testbed::{Compose, Host, Plan, Proxy, or_skip};

fn ssh(host: &Host, proxy: &Proxy, line: &str) -> Output {
    let config = proxy.ssh_config(host).unwrap();
    Command::new("ssh")
        .arg("-F")
        .arg(config)
        .args([host.alias(), line])
        .output()
        .unwrap()
}

#[test]
fn a_slow_way_takes_longer_and_counts() {
    let host = or_skip!(
        "a slow way",
        Host::start(Plan::new().compose(Compose::None).without_image())
    );
    let delay = Duration::from_millis(25);
    let (fast, slow) = (Proxy::count(&host).unwrap(), Proxy::delay(&host, delay).unwrap());
    let time = |proxy: &Proxy| {
        let started = Instant::now();
        let output = ssh(&host, proxy, "echo here");
        assert_eq!(output.stdout, b"here\n", "{output:?}");
        started.elapsed()
    };
    let (direct, delayed) = (time(&fast), time(&slow));
    let counts = slow.counts();
    eprintln!("ssh takes {direct:?}, with 25 ms each way {delayed:?}; {counts:?}");
    assert_eq!((counts.connections, counts.cuts), (1, 0));
    assert!(
        counts.up > 1000 && counts.down > 1000 && counts.turns >= 5,
        "{counts:?}"
    );
    // Where the machine is busy, even the fast way takes longer than that.
    assert!(delayed > delay * 2 * 5, "{delayed:?}");
}

#[test]
fn a_way_breaks_after_so_many_bytes() {
    let host = or_skip!(
        "a way that breaks",
        Host::start(Plan::new().compose(Compose::None).without_image())
    );
    for bytes in [1, 3000, 100_000] {
        let proxy = Proxy::cut_after(&host, bytes).unwrap();
        let config = proxy.ssh_config(&host).unwrap();
        let script = format!(
            "head -c 1000000 /dev/zero | ssh -F {} {} 'cat >/root/got'",
            config.display(),
            host.alias()
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        assert_eq!((proxy.counts().up, proxy.counts().cuts), (bytes, 1));
    }
    let got = host
        .sh("stat -c %s /root/got || echo 0")
        .unwrap()
        .trim()
        .parse::<u64>()
        .unwrap();
    assert!(got < 100_000, "{got}");
}
