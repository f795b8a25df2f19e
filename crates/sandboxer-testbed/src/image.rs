//! The one container image: a static busybox, known as `busybox:stable`. No registry is asked for anything.

use std::path::Path;
use std::process::Command;

use crate::access::{make, mode, write};
use crate::command::{find, must, run};
use crate::host::Host;
use crate::skip::Unavailable;

/// Its name.
pub const IMAGE: &str = "busybox:stable";

/// Gives a host the image.
pub(crate) fn load(host: &Host) -> Result<(), Unavailable> {
    let tar = host.facts.folder.join("image.tar");
    pack(&host.facts.folder.join("image"), &tar)?;
    let bytes = std::fs::read(&tar).map_err(|error| Unavailable::broken("reading an image", error))?;
    let engine = if host.compose().has_docker() {
        "docker"
    } else {
        "podman"
    };
    must(&mut host.program(&[engine, "import", "-", IMAGE]), &bytes)?;
    let _ = std::fs::remove_file(tar);
    Ok(())
}

/// Writes the image as a tar file, by way of a folder.
fn pack(folder: &Path, tar: &Path) -> Result<(), Unavailable> {
    let busybox = find("busybox", "busybox-static")?;
    for part in ["bin", "proc", "sys", "dev", "etc", "root", "tmp", "var/tmp", "www"] {
        make(&folder.join(part))?;
    }
    let failed = |error: std::io::Error| Unavailable::broken("making an image", error);
    for open in ["tmp", "var/tmp"] {
        mode(&folder.join(open), 0o1777)?;
    }
    std::fs::copy(&busybox, folder.join("bin/busybox")).map_err(failed)?;
    let applets = run(Command::new(&busybox).arg("--list"), b"")?;
    for applet in applets.stdout.lines().filter(|name| *name != "busybox") {
        std::os::unix::fs::symlink("busybox", folder.join("bin").join(applet)).map_err(failed)?;
    }
    write(
        &folder.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    )?;
    write(&folder.join("etc/group"), "root:x:0:\nnobody:x:65534:\n")?;
    let mut program = Command::new("tar");
    program
        .arg("-cf")
        .arg(tar)
        .args(["--owner=0", "--group=0", "-C"])
        .arg(folder)
        .arg(".");
    must(&mut program, b"")?;
    std::fs::remove_dir_all(folder).map_err(failed)
}
