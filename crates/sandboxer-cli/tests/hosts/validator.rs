//! What wise-validator relies on: its exact command line, the fields it reads, and exit codes.

use sandboxer_testbed::{Plan, fixture, or_skip};

use crate::lab::Lab;

#[test]
fn the_validators_command_line_and_fields_hold() {
    let lab = or_skip!("wise-validator's contract", Lab::start(Plan::new()));
    let repository = lab.repository();
    let repo = format!("repo={}", repository.display());
    let made = lab.run(&[
        "create",
        "--profile",
        "profile.compose-e2e",
        "--input",
        &repo,
        "--actor",
        "atm",
        "--project",
        "wise-validator",
        "--host",
        lab.host.alias(),
    ]);
    assert_eq!(made.code, 0, "{made:?}");
    // Standard output is JSON and nothing else.
    let created: serde_json::Value = serde_json::from_str(&made.stdout).expect("pure JSON");
    let text = |pointer: &str| {
        created
            .pointer(pointer)
            .and_then(|value| value.as_str())
            .unwrap_or_else(|| panic!("{pointer}: {created}"))
            .to_owned()
    };
    let id = text("/sandbox_id");
    let (ssh, remote_dir, project) = (
        text("/reachability/ssh"),
        text("/reachability/remote_dir"),
        text("/reachability/compose_project"),
    );
    assert_eq!((project.as_str(), text("/state").as_str()), (id.as_str(), "ready"));
    assert_eq!(
        (text("/consumer/actor"), text("/consumer/project")),
        ("atm".to_owned(), "wise-validator".to_owned())
    );

    // It polls over SSH from the host, and runs its test command inside of the directory.
    let web = text("/reachability/services/web/0/address");
    let over_ssh = |line: &str| {
        let output = std::process::Command::new("ssh")
            .arg("-F")
            .arg(lab.host.ssh_config())
            .args([ssh.as_str(), line])
            .output()
            .expect("ssh runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    assert_eq!(
        over_ssh(&format!("busybox wget -q -O - http://{web}/")),
        (Some(0), fixture::PAGE.to_owned())
    );
    assert_eq!(
        over_ssh(&format!("cd {remote_dir} && test -f compose.yml && pwd")),
        (Some(0), format!("{remote_dir}\n"))
    );

    // The host of the environment is as good as the option.
    let by_env = lab.run_with(
        &[
            "create",
            "--profile",
            "profile.compose-e2e",
            "--input",
            &repo,
            "--dry-run",
        ],
        &[("SANDBOXER_HOST", lab.host.alias())],
    );
    assert_eq!(by_env.json()["host"], lab.host.alias());

    let gone = lab.run(&["destroy", &id]);
    assert_eq!(gone.code, 0, "{gone:?}");
    assert_eq!(lab.run(&["destroy", &id]).code, 0, "again is as good");
    assert_ne!(
        lab.run(&["destroy", "sbx-01m7y6nbk6e2yr4yvpgtcdjcd8"]).code,
        0,
        "an unknown one is an error"
    );
    let broken = lab.run(&["create", "--profile", "profile.compose-e2e", "--host", lab.host.alias()]);
    assert!(broken.code != 0 && broken.stdout.is_empty(), "{broken:?}");
    lab.nothing_is_left();
    lab.host.down();
}
