//! Coming up, going down, and being told what is left.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sandboxer_testbed::loopback::Loopback;
use sandboxer_testbed::{Compose, Host, Plan, Shared, or_skip};

/// How long is waited for what is over soon.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_host_can_be_reached_runs_containers_and_leaves_nothing() {
    let started = Instant::now();
    let host = or_skip!("a host runs containers", Host::start(Plan::default()));
    eprintln!("up after {:?}", started.elapsed());
    let said = host
        .over_ssh("hostname; docker run --rm busybox:stable echo from inside")
        .unwrap();
    assert_eq!(said.stdout, format!("{}\nfrom inside\n", host.alias()), "{said:?}");

    let folder = host.key().parent().unwrap().to_owned();
    let name = folder.file_name().unwrap().to_str().unwrap();
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", host.init())).unwrap();
    assert!(
        groups.lines().all(|line| line.contains(name)),
        "a group of this machine is not its own: {groups}"
    );
    let (init, cable) = (host.init(), host.alias().replace("tb", "/sys/class/net/sbxtb"));
    assert!(Path::new(&cable).exists());
    let ending = Instant::now();
    host.down();
    eprintln!("down after {:?}", ending.elapsed());
    assert!(!Path::new(&format!("/proc/{init}")).exists());
    assert!(!Path::new(&cable).exists());
    assert!(!folder.exists());
    assert_eq!(groups_of(name), Vec::<String>::new());
}

fn groups_of(name: &str) -> Vec<String> {
    let find = Command::new("find")
        .args(["/sys/fs/cgroup", "-name", name])
        .output()
        .unwrap();
    String::from_utf8_lossy(&find.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_host_has_the_compose_tool_of_its_plan_and_no_other() {
    for (compose, there, absent) in [
        (Compose::Plugin, "docker compose version", "docker-compose version"),
        (Compose::Standalone, "docker-compose version", "docker compose version"),
        (Compose::Python, "docker-compose --version", "docker compose version"),
        (Compose::Podman, "podman-compose version", "docker version"),
        (Compose::None, "docker version", "docker-compose version"),
    ] {
        let plan = Plan::new().compose(compose).without_image();
        let host = or_skip!("compose tools of hosts", Host::start(plan));
        let found = host.over_ssh(there).unwrap();
        assert!(found.is_success(), "{compose:?}: {found:?}");
        let missing = host.over_ssh(absent).unwrap();
        assert!(!missing.is_success(), "{compose:?}: {missing:?}");
    }
}

/// Not a test by itself: the owner of a host that the next test kills.
#[test]
fn owner_that_is_killed() {
    if std::env::var_os("SBX_TESTBED_OWNER").is_none() {
        return;
    }
    let host = Host::start(Plan::new().compose(Compose::None)).unwrap();
    host.docker(&["run", "--detach", "busybox:stable", "sleep", "1000"])
        .unwrap();
    println!("\nHOST {} {} {}", host.init(), host.alias(), host.key().display());
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
}

#[test]
fn a_host_dies_with_its_owner_and_the_next_removes_the_rest() {
    let _ = or_skip!(
        "a host dies with its owner",
        Host::start(Plan::new().compose(Compose::None).without_image())
    );
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["life::owner_that_is_killed", "--exact", "--nocapture"])
        .env("SBX_TESTBED_OWNER", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let line = lines.find(|line| line.starts_with("HOST ")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let process = format!("/proc/{}", words[1]);
    let cable = words[2].replace("tb", "/sys/class/net/sbxtb");
    let folder = Path::new(words[3]).parent().unwrap().to_owned();
    assert!(Path::new(&process).exists() && Path::new(&cable).exists() && folder.exists());

    owner.kill().unwrap();
    owner.wait().unwrap();
    let deadline = Instant::now() + SOON;
    while Path::new(&process).exists() || Path::new(&cable).exists() {
        assert!(Instant::now() < deadline, "{line} is still there");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let next = Host::start(Plan::new().compose(Compose::None).without_image()).unwrap();
    assert!(!folder.exists());
    assert_eq!(
        groups_of(folder.file_name().unwrap().to_str().unwrap()),
        Vec::<String>::new()
    );
    next.down();
}

#[test]
fn whatever_is_left_on_a_host_is_told() {
    let host = or_skip!("leftovers are told", Host::start(Plan::new().compose(Compose::None)));
    let before = host.audit().unwrap();
    assert_eq!(host.leftovers(&before, SOON, |_| false).unwrap(), Vec::<String>::new());

    host.over_ssh("docker run --rm busybox:stable true; true").unwrap();
    assert_eq!(
        host.leftovers(&before, SOON, |_| false).unwrap(),
        Vec::<String>::new(),
        "a tidy visit"
    );

    host.sh(
        "docker run -d --name left --label dev.sandboxer.sandbox=sbx-1 busybox:stable sleep 1000
         docker network create left-net; docker volume create left-volume; docker tag busybox:stable left-image
         mkdir -p /opt/left-folder /root/left-home; echo x >/etc/left-file; : >/tmp/left-tmp
         setsid sleep 12345 >/dev/null 2>&1 & nft add table inet left_table; ip link add left-link type bridge",
    )
    .unwrap();
    let left = host.leftovers(&before, Duration::ZERO, |_| false).unwrap();
    for expected in [
        "container left busybox:stable dev.sandboxer.sandbox=sbx-1",
        "network left-net",
        "volume left-volume",
        "image left-image:latest",
        "file /opt/left-folder",
        "file /root/left-home",
        "file /etc/left-file",
        "file /tmp/left-tmp",
        "process sleep 12345",
        "table inet left_table",
        "interface left-link",
        "cgroup ",
    ] {
        assert!(
            left.iter().any(|line| line.starts_with(expected)),
            "{expected}: not in {left:#?}"
        );
    }
    assert_eq!(host.leftovers_of("sbx-1", Duration::ZERO).unwrap().len(), 1);

    host.sh(
        "docker rm -f left; docker network rm left-net; docker volume rm left-volume; docker rmi left-image
         rm -r /opt/left-folder /root/left-home /etc/left-file /tmp/left-tmp
         pkill -x sleep; nft delete table inet left_table; ip link del left-link",
    )
    .unwrap();
    assert_eq!(host.leftovers(&before, SOON, |_| false).unwrap(), Vec::<String>::new());
}

#[test]
fn machines_are_shared_by_way_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("testbed.json");
    let _ = or_skip!(
        "shared hosts",
        Host::start(Plan::new().compose(Compose::None).without_image())
    );
    let started = Instant::now();
    let shared = Shared::start(&file).unwrap();
    eprintln!("three hosts up after {:?}", started.elapsed());
    let lacks: Vec<_> = shared.lacks().map(|(name, lack)| format!("{name}: {lack}")).collect();
    for flavour in Compose::FLAVOURS {
        let Ok(host) = Shared::host_in(&file, flavour) else {
            assert!(lacks.iter().any(|lack| lack.starts_with(flavour.name())), "{lacks:?}");
            continue;
        };
        assert!(shared.hosts().iter().any(|other| other.alias() == host.alias()));
        assert!(host.over_ssh("true").unwrap().is_success());
        drop(host);
    }
    assert!(shared.hosts().iter().all(Host::is_up), "guests take nothing down");
    shared.down();
    assert!(!file.exists());
}

#[test]
fn an_ssh_server_on_this_machine_lets_its_user_in() {
    let folder = tempfile::tempdir().unwrap();
    let server = or_skip!(
        "an SSH server for any user",
        Loopback::start(&folder.path().join("ssh"))
    );
    let ssh = Command::new("ssh")
        .arg("-F")
        .arg(server.ssh_config())
        .args(["loopback", "id -u"])
        .output()
        .unwrap();
    let me = Command::new("id").arg("-u").output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&ssh.stdout),
        String::from_utf8_lossy(&me.stdout),
        "{ssh:?}"
    );
}
