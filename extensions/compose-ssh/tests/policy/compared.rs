//! Containers against the fresh file: one field that is otherwise is enough.

use extension_compose_ssh::policy::compare;
use serde_json::{Value, json};

use super::support::{ID, REMOTE, project, read};

const TEXT: &str = "services:\n  web:\n    image: busybox:stable\n    ports: [\"80\"]\n    volumes: [\"./src:/src:ro\", \"data:/data\"]\n    tmpfs: [/run]\nvolumes:\n  data: {}\n";

/// What Docker 20.10 says of a container that is as the fresh file says.
fn good() -> Value {
    json!([{
        "State": { "Running": true },
        "Config": { "Labels": { "com.docker.compose.service": "web", "dev.sandboxer.sandbox": ID } },
        "HostConfig": {
            "Privileged": false, "CapAdd": ["CHOWN", "CAP_SETUID"], "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"], "Devices": null, "DeviceRequests": null, "DeviceCgroupRules": null,
            "VolumesFrom": null, "Sysctls": null, "GroupAdd": null, "ReadonlyRootfs": false,
            "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/bus"],
            "PidMode": "", "UTSMode": "", "UsernsMode": "", "IpcMode": "private", "CgroupParent": "", "Runtime": "runc",
            "PidsLimit": 4096, "Memory": 4_294_967_296u64, "NanoCpus": 2_000_000_000u64,
            "RestartPolicy": { "Name": "no" },
            "Binds": [format!("{REMOTE}/src:/src:ro"), format!("{ID}_data:/data:rw")],
            "NetworkMode": format!("{ID}_default"), "PortBindings": {}, "ExtraHosts": [],
        },
        "Mounts": [
            { "Type": "bind", "Source": format!("{REMOTE}/src"), "Destination": "/src", "RW": false },
            { "Type": "volume", "Name": format!("{ID}_data"), "Source": "/var/lib/docker/volumes/x", "Destination": "/data", "RW": true },
        ],
        "NetworkSettings": { "Networks": { format!("{ID}_default"): {} } },
    }])
}

#[test]
fn what_is_as_written_is_accepted() {
    let dir = project();
    let stack = read(dir.path(), TEXT).expect("accepted");
    assert_eq!(compare(&stack, &good()), []);
}

#[test]
fn every_field_that_is_otherwise_is_found() {
    let dir = project();
    let stack = read(dir.path(), TEXT).expect("accepted");
    let changes: &[(&str, Value)] = &[
        ("/0/HostConfig/Privileged", json!(true)),
        ("/0/HostConfig/Privileged", Value::Null),
        ("/0/HostConfig/CapAdd", json!(["SYS_ADMIN"])),
        ("/0/HostConfig/CapDrop", json!([])),
        ("/0/HostConfig/CapDrop", Value::Null),
        ("/0/HostConfig/SecurityOpt", Value::Null),
        (
            "/0/HostConfig/SecurityOpt",
            json!(["no-new-privileges:true", "seccomp=unconfined"]),
        ),
        ("/0/HostConfig/Devices", json!([{ "PathOnHost": "/dev/sda" }])),
        ("/0/HostConfig/DeviceRequests", json!([{ "Driver": "" }])),
        ("/0/HostConfig/VolumesFrom", json!(["victim"])),
        ("/0/HostConfig/Sysctls", json!({ "a": "1" })),
        ("/0/HostConfig/GroupAdd", json!(["0"])),
        ("/0/HostConfig/MaskedPaths", json!([])),
        ("/0/HostConfig/ReadonlyPaths", Value::Null),
        ("/0/HostConfig/PidMode", json!("host")),
        ("/0/HostConfig/UTSMode", json!("host")),
        ("/0/HostConfig/UsernsMode", json!("host")),
        ("/0/HostConfig/IpcMode", json!("host")),
        ("/0/HostConfig/IpcMode", json!("container:x")),
        ("/0/HostConfig/CgroupParent", json!("/evil")),
        ("/0/HostConfig/Runtime", json!("evil")),
        ("/0/HostConfig/PidsLimit", json!(0)),
        ("/0/HostConfig/PidsLimit", Value::Null),
        ("/0/HostConfig/Memory", json!(0)),
        ("/0/HostConfig/NanoCpus", json!(0)),
        ("/0/HostConfig/RestartPolicy/Name", json!("always")),
        ("/0/HostConfig/Binds/0", json!("/:/host")),
        ("/0/HostConfig/NetworkMode", json!("host")),
        ("/0/HostConfig/NetworkMode", json!("container:x")),
        (
            "/0/HostConfig/PortBindings",
            json!({ "80/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "80" }] }),
        ),
        ("/0/HostConfig/ExtraHosts", json!(["a:1.2.3.4"])),
        ("/0/Mounts/0/Source", json!("/etc")),
        ("/0/Mounts/0/RW", json!(true)),
        (
            "/0/Mounts/1",
            json!({ "Type": "bind", "Source": "/", "Destination": "/host", "RW": true }),
        ),
        ("/0/NetworkSettings/Networks", json!({ "bridge": {} })),
        ("/0/NetworkSettings/Networks", json!({})),
        ("/0/Config/Labels/dev.sandboxer.sandbox", json!("sbx-other")),
        ("/0/Config/Labels/com.docker.compose.service", json!("other")),
        ("/0/HostConfig/ReadonlyRootfs", Value::Null),
    ];
    for (path, value) in changes {
        let mut inspected = good();
        *inspected.pointer_mut(path).expect(path) = value.clone();
        assert!(!compare(&stack, &inspected).is_empty(), "{path} = {value}");
    }
}

#[test]
fn a_service_that_is_missing_and_one_too_many_are_found() {
    let dir = project();
    let stack = read(dir.path(), TEXT).expect("accepted");
    assert!(!compare(&stack, &json!([])).is_empty());
    assert!(!compare(&stack, &Value::Null).is_empty());
    let mut twice = good();
    let one = twice[0].clone();
    twice.as_array_mut().expect("a list").push(one);
    assert!(!compare(&stack, &twice).is_empty());
}
