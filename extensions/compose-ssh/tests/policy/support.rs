//! A project and the request every test reconstructs from.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use extension_compose_ssh::policy::{
    Egress, Limits, NetworkPlan, Project, Refusal, Request, Stack, TreeAccess, reconstruct,
};

pub(crate) const ID: &str = "sbx-01m7y6nbk6e2yr4yvpgtcdjcd8";
pub(crate) const REMOTE: &str = "/tmp/sandboxer/sbx-01m7y6nbk6e2yr4yvpgtcdjcd8";

/// A project with the files that ordinary Compose files refer to, and links that hostile ones would follow.
pub(crate) fn project() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, text).expect("a file");
    };
    for place in [
        ".",
        "app",
        "api",
        "web",
        "worker",
        "frontend",
        "backend",
        "docker/php",
        "services/auth",
    ] {
        write(
            &format!("{place}/Dockerfile"),
            "FROM busybox:stable\nCOPY . /app\nRUN true\n",
        );
    }
    for file in [
        "Dockerfile.dev",
        "docker/Dockerfile.worker",
        "docker/nginx/default.conf",
        "nginx.conf",
        "init.sql",
    ] {
        write(file, "FROM busybox:stable\n");
    }
    for place in [
        "src", "html", "data", "config", "public", "static", "db/init", "e2e", "certs",
    ] {
        write(&format!("{place}/.keep"), "");
    }
    write(".env", "TAG=stable\nPORT=8080\nPOSTGRES_PASSWORD=secret\nEMPTY=\n");
    write("app.env", "A=1\nB=two words\n# comment\nexport C='3'\n");
    write("config/web.env", "MODE=test\n");
    write("syntax/Dockerfile", "# syntax=evil/frontend\nFROM a\n");
    write("add/Dockerfile", "FROM a\nADD http://192.0.2.1/x /x\n");
    write("insecure/Dockerfile", "FROM a\nRUN --security=insecure id\n");
    std::os::unix::fs::symlink("/", dir.path().join("rootlink")).expect("a link");
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("passwdlink")).expect("a link");
    std::os::unix::fs::symlink("rootlink/etc", dir.path().join("twolinks")).expect("a link");
    dir
}

pub(crate) fn limits() -> Limits {
    Limits {
        cpu: Some(2.0),
        memory_mb: Some(4096),
        pids: Some(4096),
    }
}

pub(crate) fn request<'a>(project: &'a Project, file: &'a str) -> Request<'a> {
    Request {
        project,
        compose_file: file,
        name: ID,
        labels: BTreeMap::from([("dev.sandboxer.sandbox".to_owned(), ID.to_owned())]),
        limits: limits(),
        network: NetworkPlan {
            block: Ipv4Addr::new(10, 64, 0, 0),
            networks: 8,
            bridge: "sbxabcdefn".to_owned(),
            egress: Egress::Nothing,
        },
        remote_dir: REMOTE,
        copies_dir: "/tmp/sandboxer/.sbx/sbx-01m7y6nbk6e2yr4yvpgtcdjcd8/copies",
        tree: TreeAccess::AsWritten,
    }
}

/// Reconstructs a file of this text in a project.
pub(crate) fn read(dir: &Path, text: &str) -> Result<Stack, Vec<Refusal>> {
    std::fs::write(dir.join("compose.yml"), text).expect("a file");
    let project = Project::open(dir).expect("opens");
    reconstruct(&request(&project, "compose.yml"))
}
