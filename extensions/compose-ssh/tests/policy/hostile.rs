//! Files that ask for what a sandbox must not give: every idea in several spellings, and none is accepted.

use std::time::Duration;

use sandboxer_testbed::time::worked;

use super::support::{project, read};

/// Something a service could ask for: the key, and values as YAML in flow form.
const SERVICE: &[(&str, &[&str])] = &[
    ("privileged", &["true", "True", "TRUE", "\"true\"", "yes", "1", "on"]),
    (
        "cap_add",
        &[
            "[ALL]",
            "[SYS_ADMIN]",
            "[CAP_SYS_PTRACE]",
            "[sys_admin]",
            "[NET_ADMIN]",
            "[NET_RAW]",
            "[CHOWN, SYS_MODULE]",
            "ALL",
        ],
    ),
    (
        "devices",
        &[
            "[/dev/sda]",
            "[\"/dev/mem:/dev/mem\"]",
            "[{source: /dev/kvm, target: /dev/kvm}]",
            "[\"/dev/fuse:/dev/fuse:rwm\"]",
        ],
    ),
    ("device_cgroup_rules", &["[\"a *:* rwm\"]"]),
    ("pid", &["host", "\"host\"", "\"container:victim\"", "\"service:web\""]),
    ("ipc", &["host", "shareable", "\"container:victim\""]),
    ("uts", &["host"]),
    ("userns_mode", &["host", "\"host\""]),
    ("cgroup", &["host", "private"]),
    ("cgroup_parent", &["/", "system.slice"]),
    (
        "network_mode",
        &[
            "host",
            "\"host\"",
            "\"container:victim\"",
            "\"service:web\"",
            "Host",
            "slirp4netns",
        ],
    ),
    (
        "security_opt",
        &[
            "[\"seccomp:unconfined\"]",
            "[\"apparmor=unconfined\"]",
            "[\"no-new-privileges:false\"]",
            "[\"label:disable\"]",
            "[systempaths=unconfined]",
        ],
    ),
    ("sysctls", &["{net.ipv4.ip_forward: 1}", "[kernel.core_pattern=|/x]"]),
    ("runtime", &["nvidia", "/evil", "io.containerd.runc.v2"]),
    ("volumes_from", &["[\"container:victim\"]", "[web]"]),
    ("external_links", &["[victim]"]),
    ("provider", &["{type: ./evil.sh}", "{type: /bin/sh, options: {a: b}}"]),
    (
        "extends",
        &[
            "{file: /etc/passwd, service: a}",
            "{file: ../outside.yml, service: a}",
            "{service: web}",
            "web",
        ],
    ),
    (
        "develop",
        &["{watch: [{path: ., action: sync+exec, exec: {command: id}}]}"],
    ),
    ("post_start", &["[{command: id, privileged: true, user: root}]"]),
    ("pre_stop", &["[{command: id}]"]),
    ("credential_spec", &["{file: x.json}"]),
    ("group_add", &["[docker]", "[0]"]),
    (
        "extra_hosts",
        &["[\"host.docker.internal:host-gateway\"]", "{metadata: 169.254.169.254}"],
    ),
    ("dns", &["8.8.8.8", "[127.0.0.11, 8.8.8.8]"]),
    ("dns_search", &["example.org"]),
    ("dns_opt", &["[use-vc]"]),
    ("mac_address", &["02:42:ac:11:65:43"]),
    ("gpus", &["all"]),
    ("models", &["[llm]"]),
    ("label_file", &["/etc/passwd", "./labels"]),
    ("use_api_socket", &["true"]),
    ("blkio_config", &["{weight: 300}"]),
    ("oom_score_adj", &["-1000"]),
    ("oom_kill_disable", &["true"]),
    ("cpu_rt_runtime", &["950000"]),
    ("storage_opt", &["{size: 100G}"]),
    ("isolation", &["hyperv"]),
    ("configs", &["[a]", "[{source: a, target: /etc/x}]"]),
    ("secrets", &["[a]", "[{source: a}]"]),
    (
        "env_file",
        &[
            "/etc/passwd",
            "../outside.env",
            "[./passwdlink]",
            "[{path: /etc/shadow}]",
            "./rootlink/etc/passwd",
            "~/.ssh/config",
            "twolinks/passwd",
        ],
    ),
    ("working_dir", &["/proc/self/fd/7", "/sys", "relative", "/a/../../proc"]),
    ("user", &["\"0:0; id\"", "\"$(id)\"", "\"a b\""]),
    ("hostname", &["\"a b\"", "\"-x\"", "\"a/b\""]),
    (
        "labels",
        &[
            "{com.docker.compose.project: other}",
            "[\"dev.sandboxer.sandbox=sbx-x\"]",
            "{io.podman.compose.project: x}",
            "{COM.docker.compose.service: web}",
        ],
    ),
    ("scale", &["2", "1000"]),
    (
        "deploy",
        &[
            "{replicas: 50}",
            "{resources: {reservations: {devices: [{driver: nvidia, capabilities: [gpu]}]}}}",
            "{resources: {limits: {memory: 64g}}}",
            "{resources: {limits: {cpus: \"64\"}}}",
            "{resources: {limits: {pids: 1000000}}}",
        ],
    ),
    ("mem_limit", &["64g", "\"-1\"", "inf"]),
    ("cpus", &["64", "-1", "nan", "1e9", ".inf"]),
    ("pids_limit", &["-1", "1000000"]),
    ("shm_size", &["64g"]),
    ("ulimits", &["{msgqueue: -1}", "{rtprio: 99}"]),
    ("stop_grace_period", &["24h", "31s"]),
    ("stop_signal", &["\"TERM; id\""]),
    ("restart", &["\"always; id\"", "on-failure:x", "whenever"]),
    (
        "tmpfs",
        &["[/proc]", "[\"/run:exec,suid\"]", "[\"/a:size=1g,dev\"]", "[../x]"],
    ),
    (
        "ports",
        &[
            "[\"0.0.0.0:80:80:80:80/sctp\"]",
            "[\"80/icmp\"]",
            "[\"1-65535:1-65535\"]",
            "[\"$(id):80\"]",
            "[{target: 80, mode: evil}]",
            "[{target: 80, x: 1}]",
            "[99999]",
        ],
    ),
    ("expose", &["[\"1-65535\"]", "[x]"]),
    (
        "healthcheck",
        &["{test: [EVIL, id]}", "{test: id, provider: x}", "{interval: 1y}"],
    ),
    (
        "depends_on",
        &[
            "{victim: {condition: service_started}}",
            "[victim]",
            "{web: {condition: evil}}",
        ],
    ),
    (
        "networks",
        &[
            "[other]",
            "{default: {driver_opts: {com.docker.network.endpoint.ifname: x}}}",
            "{default: {link_local_ips: [169.254.8.8]}}",
        ],
    ),
    ("links", &["[\"victim:x\"]", "[victim]"]),
    ("logging", &[]),
    (
        "image",
        &[
            "\"-v /:/host\"",
            "\"a b\"",
            "\"localhost:5000/x\"",
            "\"169.254.169.254/latest\"",
            "\"127.0.0.1/x\"",
            "\"10.0.0.1:5000/x\"",
            "\"$(id)\"",
            "\"a//b\"",
            "sbx-01m7y6nbk6e2yr4yvpgtcdjcd9-web:sandbox",
            "localhost/sbx-01m7y6nbk6e2yr4yvpgtcdjcd9-web",
            "caf200a4f9403f2e",
            "\"sha256:caf200a4f9403f2ed622303f99d8aec380553d29c22615b766c32b73d00892b4\"",
        ],
    ),
    ("command", &["{a: b}"]),
    ("pull_policy", &["evil"]),
    (
        "build",
        &[
            "..",
            "/etc",
            "https://github.com/x/y.git",
            "{context: ../..}",
            "{context: ., dockerfile: /etc/passwd}",
            "{context: ., dockerfile: ../../Dockerfile}",
            "{context: ., network: host}",
            "{context: ., ssh: [default]}",
            "{context: ., additional_contexts: {x: /}}",
            "{context: ., entitlements: [security.insecure]}",
            "{context: ., privileged: true}",
            "{context: ., extra_hosts: [a:1.2.3.4]}",
            "{context: ., secrets: [a]}",
            "{context: ., cache_from: [x]}",
            "{context: ., cache_to: [\"type=local,dest=/x\"]}",
            "{context: ., isolation: x}",
            "{context: ., tags: [victim:latest]}",
            "{context: ., platforms: [linux/arm64]}",
            "{context: ., dockerfile_inline: \"FROM a\"}",
            "{context: ., shm_size: 1g}",
            "{context: ., ulimits: {nofile: 1}}",
            "{context: rootlink}",
            "{context: ., dockerfile: passwdlink}",
            "syntax",
            "add",
            "insecure",
            "missing",
        ],
    ),
    (
        "volumes",
        &[
            "[\"/:/host\"]",
            "[\"/var/run/docker.sock:/var/run/docker.sock\"]",
            "[\"/etc:/etc:ro\"]",
            "[\"..:/up\"]",
            "[\"../..:/up\"]",
            "[\"./../x:/up\"]",
            "[\"~/.ssh:/ssh\"]",
            "[\"~root:/r\"]",
            "[\"./rootlink:/host\"]",
            "[\"./rootlink/etc:/host\"]",
            "[\"./passwdlink:/x\"]",
            "[\"./twolinks:/x\"]",
            "[\"./src/../rootlink/etc:/x\"]",
            "[\"undeclared:/x\"]",
            "[{type: bind, source: /, target: /host}]",
            "[{type: bind, source: ./rootlink, target: /host}]",
            "[{type: bind, source: ., target: /host, bind: {propagation: rshared}}]",
            "[{type: npipe, source: x, target: /y}]",
            "[{type: cluster, source: x, target: /y}]",
            "[{type: image, source: busybox, target: /y}]",
            "[{type: volume, source: ../x, target: /y}]",
            "[{type: volume, source: data, target: /y, volume: {subpath: ../..}}]",
            "[\"./src:/proc\"]",
            "[\"./src:/proc/sys\"]",
            "[\"./src:/sys/fs/cgroup\"]",
            "[\"./src:/dev\"]",
            "[\"./src:/\"]",
            "[\"./src:relative\"]",
            "[\"./src:/a/../../proc\"]",
            "[\"./src:/a:rshared\"]",
            "[\"./src:/a:ro,dev\"]",
            "[\"./src:/a:U\"]",
            "[\".:/app\", \"./not-there:/app/src\"]",
            "[\"./src:/a\", \"./data:/a\"]",
            "[\"${HOME}:/h\"]",
            "[\"a\\\\b:/x\"]",
            "[\"C:/x:/y\"]",
        ],
    ),
];

/// The same at the top of the file.
const TOP: &[(&str, &[&str])] = &[
    (
        "include",
        &[
            "[../outside.yml]",
            "[{path: /etc/x.yml, env_file: /etc/passwd}]",
            "[\"oci://evil/x\"]",
            "[\"https://evil/x.git\"]",
        ],
    ),
    (
        "secrets",
        &[
            "{a: {file: /etc/shadow}}",
            "{a: {environment: HOME}}",
            "{a: {external: true}}",
        ],
    ),
    ("configs", &["{a: {file: /etc/shadow}}", "{a: {content: x}}"]),
    ("models", &["{llm: {model: x}}"]),
    (
        "volumes",
        &[
            "{data: {driver_opts: {type: none, o: bind, device: /}}}",
            "{data: {driver: local, driver_opts: {type: nfs, o: addr=10.0.0.1, device: \":/\"}}}",
            "{data: {external: true}}",
            "{data: {external: {name: victim}}}",
            "{data: {driver: rclone}}",
            "{\"../x\": {}}",
            "[data]",
        ],
    ),
    (
        "networks",
        &[
            "{default: {external: true}}",
            "{default: {driver: host}}",
            "{default: {driver: macvlan, driver_opts: {parent: eth0}}}",
            "{default: {driver_opts: {com.docker.network.bridge.name: docker0}}}",
            "{default: {ipam: {config: [{subnet: 10.0.0.0/8}]}}}",
            "{default: {name: host, external: true}}",
            "{n1: {}, \"n 2\": {}}",
        ],
    ),
    (
        "services",
        &["[a]", "null", "{\"a b\": {image: x}}", "{\"../a\": {image: x}}"],
    ),
    ("unknown", &["1"]),
];

/// Spellings of one request of a service.
fn spellings(key: &str, value: &str) -> Vec<(&'static str, String)> {
    let image = if key == "image" {
        String::new()
    } else {
        "    image: busybox:stable\n".to_owned()
    };
    let data = "volumes:\n  data: {}\n";
    let mut all = vec![
        ("plain", format!("services:\n  web:\n{image}    {key}: {value}\n{data}")),
        (
            "quoted key",
            format!("services:\n  web:\n{image}    \"{key}\": {value}\n{data}"),
        ),
        ("flow", {
            let image = if key == "image" {
                ""
            } else {
                "image: \"busybox:stable\", "
            };
            format!("services: {{web: {{{image}{key}: {value}}}}}\n{data}")
        }),
        (
            "anchor",
            format!("x-a: &a {value}\nservices:\n  web:\n{image}    {key}: *a\n{data}"),
        ),
        (
            "merge",
            format!("x-b: &b\n  {key}: {value}\nservices:\n  web:\n    <<: *b\n{image}{data}"),
        ),
        (
            "merge of several",
            format!(
                "x-c: &c\n  tty: true\nx-d: &d\n  {key}: {value}\nservices:\n  web:\n    <<: [*c, *d]\n{image}{data}"
            ),
        ),
        (
            "merge of a merge",
            format!("x-e: &e\n  {key}: {value}\nx-f: &f\n  <<: *e\nservices:\n  web:\n    <<: *f\n{image}{data}"),
        ),
        (
            "second service",
            format!("services:\n  ok:\n    image: busybox:stable\n  web:\n{image}    {key}: {value}\n{data}"),
        ),
    ];
    let upper = key.to_uppercase();
    if upper != key {
        all.push((
            "other case",
            format!("services:\n  web:\n    image: busybox:stable\n    {upper}: {value}\n{data}"),
        ));
    }
    all
}

#[test]
fn no_service_gets_what_it_must_not() {
    let dir = project();
    let (mut ideas, mut files, mut accepted) = (0, 0, Vec::new());
    for (key, values) in SERVICE {
        for value in *values {
            ideas += 1;
            for (how, text) in spellings(key, value) {
                files += 1;
                let before = worked();
                match read(dir.path(), &text) {
                    Ok(stack) => accepted.push(format!("{key}: {value} ({how})\n{}", stack.document)),
                    Err(refusals) => {
                        for refusal in &refusals {
                            assert!(!refusal.file.is_empty() && refusal.line >= 1, "{refusal}");
                            assert!(!refusal.why.is_empty(), "{key}: {value}");
                        }
                        let names_it = refusals.iter().any(|refusal| {
                            (refusal.service.is_some() && !refusal.key.is_empty())
                                || refusal.key.starts_with("resources")
                        });
                        assert!(names_it || how == "anchor", "{key}: {value} ({how}): {refusals:?}");
                    }
                }
                assert!(worked() - before < Duration::from_secs(1), "{key}: {value}");
            }
        }
    }
    assert!(
        accepted.is_empty(),
        "{} accepted:\n{}",
        accepted.len(),
        accepted.join("\n")
    );
    assert!(ideas >= 180 && files >= 1400, "{ideas} ideas in {files} files");
    eprintln!("{ideas} ideas in {files} files, none accepted");
}

#[test]
fn no_file_gets_what_it_must_not() {
    let dir = project();
    for (key, values) in TOP {
        for value in *values {
            let service = "services:\n  web:\n    image: busybox:stable\n    volumes: [\"data:/x\"]\n";
            let service = if *key == "services" { "" } else { service };
            let more = if *key == "volumes" {
                ""
            } else {
                "volumes:\n  data: {}\n"
            };
            let text = format!("{key}: {value}\n{service}{more}");
            let refusals = match read(dir.path(), &text) {
                Ok(stack) => panic!("{key}: {value} is accepted:\n{}", stack.document),
                Err(refusals) => refusals,
            };
            assert!(refusals.iter().all(|refusal| !refusal.why.is_empty()), "{refusals:?}");
        }
    }
}

#[test]
fn documents_that_are_bombs_or_tricks_are_refused_at_once() {
    let dir = project();
    let mut lol = String::from("x-a: &a [l, l, l, l, l, l, l, l, l]\n");
    for (one, next) in ["a", "b", "c", "d", "e", "f", "g", "h"]
        .iter()
        .zip(["b", "c", "d", "e", "f", "g", "h", "i"])
    {
        lol.push_str(&format!(
            "x-{next}: &{next} [*{one}, *{one}, *{one}, *{one}, *{one}, *{one}, *{one}, *{one}, *{one}]\n"
        ));
    }
    let web = "services:\n  web:\n    image: busybox:stable\n";
    let deep = format!("{web}    labels: {}{}", "[".repeat(20_000), "]".repeat(20_000));
    let many = format!(
        "{web}    environment:\n{}",
        (0..30_000).map(|n| format!("      A{n}: x\n")).collect::<String>()
    );
    let merges = {
        let mut text = String::from("x-a0: &a0 {k0: v}\n");
        for n in 1..2000 {
            text.push_str(&format!("x-a{n}: &a{n} {{<<: *a{}, k{n}: v}}\n", n - 1));
        }
        format!("{text}{web}    labels: *a1999\n")
    };
    let cases = [
        ("billion laughs", format!("{lol}{web}")),
        ("depth", deep),
        ("nodes", many),
        ("chained merges", merges),
        (
            "size",
            format!("{web}    labels: {{a: \"{}\"}}\n", "x".repeat(300 * 1024)),
        ),
        ("self reference", format!("x-a: &a {{b: *a}}\n{web}")),
        ("tag", format!("{web}    privileged: !!bool \"true\"\n")),
        ("reset tag", format!("{web}    ports: !reset []\n")),
        ("override tag", format!("{web}    command: !override [id]\n")),
        (
            "python tag",
            format!("{web}    x-a: !!python/object/apply:os.system [id]\n"),
        ),
        ("duplicate key", format!("{web}    image: evil\n")),
        ("duplicate service", format!("{web}  web:\n    image: evil\n")),
        ("two documents", format!("{web}---\n{web}")),
        ("variable in a key", format!("{web}    ${{EVIL}}: true\n")),
        ("command in a value", format!("{web}    user: \"$(id)\"\n")),
        ("needed variable", format!("{web}    user: \"${{NOBODY_SETS_IT:?}}\"\n")),
        ("merge of text", format!("{web}    <<: x\n")),
        ("binary", "\u{0}\u{1}services".to_owned()),
        ("empty", String::new()),
        ("no mapping", "- a\n- b\n".to_owned()),
        ("look-alike key", format!("{web}    privіleged: true\n")),
        ("zero width key", format!("{web}    \"privileged\u{200b}\": true\n")),
        ("trailing blank key", format!("{web}    \"privileged \": true\n")),
        ("directive", format!("%YAML 1.1\n---\n{web}")),
    ];
    for (name, text) in cases {
        let (before, began) = (resident_kib(), worked());
        let outcome = read(dir.path(), &text);
        assert!(outcome.is_err(), "{name} is accepted");
        let took = worked() - began;
        assert!(took < Duration::from_secs(1), "{name} took {took:?}");
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 200 * 1024, "{name} took {grown} KiB");
    }
}

/// Memory of this process, from proc_pid_status(5).
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .expect("VmRSS")
}

#[test]
fn nothing_of_the_callers_environment_is_filled_in() {
    let dir = project();
    let text = "services:\n  web:\n    image: busybox:stable\n    environment:\n      A: \"${PATH}${HOME}$USER\"\n      B: $TAG\n      PATH:\n    command: [\"echo\", \"$$HOME\"]\n";
    let stack = read(dir.path(), text).expect("accepted");
    let web = &stack.document["services"]["web"];
    assert_eq!(web["environment"], serde_json::json!({ "A": "", "B": "stable" }));
    // Compose itself would fill in what has one `$`.
    assert_eq!(web["command"], serde_json::json!(["echo", "$$HOME"]));
    assert!(
        stack.notes.iter().any(|note| note.contains("PATH")),
        "{:?}",
        stack.notes
    );
}
