//! The tree a sandbox works on.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use sandboxer_extension::ExecExit;
use sandboxer_model::profile::WorkspaceAccess;

use crate::bench::Bench;
use crate::ensure;
use crate::probe::ProbeCommand;
use crate::trial::{Outcome, Stop, trials};

trials! {
    workspace_is_kept_between_commands ["exec"],
    workspaces_are_apart ["exec"],
    workspace_is_new_after_a_teardown ["exec"],
    repo_is_there_and_stays_untouched ["workspace_directory", "exec"],
    read_only_workspace_is_read_only ["workspace_directory", "exec"],
    missing_repo_is_refused ["workspace_directory"],
    mirror_has_no_call_yet ["workspace_mirror"],
    gpu_has_no_call_yet ["gpu"],
    secrets_have_no_call_yet ["secrets"],
}

fn write(name: &str, text: &str) -> ProbeCommand {
    ProbeCommand::Write {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn read(name: &str) -> ProbeCommand {
    ProbeCommand::Read { name: name.to_owned() }
}

async fn workspace_is_kept_between_commands(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let written = bench.run(&target, &write("note.txt", "kept"), Vec::new()).await?;
    ensure!(
        written.exit == ExecExit::Code(0),
        "the workspace cannot be written: {written:?}"
    );
    let ran = bench.run(&target, &read("note.txt"), Vec::new()).await?;
    ensure!(
        ran.text() == "kept",
        "what one command wrote the next one does not read: {ran:?}"
    );
    Ok(())
}

async fn workspaces_are_apart(bench: &Bench<'_>) -> Outcome {
    let (one, _) = bench.up(&bench.request()).await?;
    let (two, _) = bench.up(&bench.request()).await?;
    let written = bench.run(&one, &write("secret.txt", "mine"), Vec::new()).await?;
    ensure!(
        written.exit == ExecExit::Code(0),
        "the workspace cannot be written: {written:?}"
    );
    let ran = bench.run(&two, &read("secret.txt"), Vec::new()).await?;
    ensure!(
        ran.exit != ExecExit::Code(0),
        "one sandbox reads the workspace of another: {ran:?}"
    );
    Ok(())
}

async fn workspace_is_new_after_a_teardown(bench: &Bench<'_>) -> Outcome {
    let request = bench.request();
    let (target, _) = bench.up(&request).await?;
    bench.run(&target, &write("old.txt", "old"), Vec::new()).await?;
    bench.down(2, &target).await?;
    let handle = bench
        .provision(3, &request)
        .await
        .map_err(crate::bench::failed("provision"))?;
    let target = bench.target(&request, handle);
    bench
        .wait_ready(3, &target)
        .await
        .map_err(crate::bench::failed("wait_ready"))?;
    let ran = bench.run(&target, &read("old.txt"), Vec::new()).await?;
    ensure!(
        ran.exit != ExecExit::Code(0),
        "a file outlived the sandbox it was written in: {ran:?}"
    );
    Ok(())
}

/// A directory of the caller with one file, and with what the backend needs a tree to have.
fn repo(bench: &Bench<'_>) -> Result<tempfile::TempDir, Stop> {
    let made = tempfile::tempdir().and_then(|directory| {
        for file in bench.subject.tree_files() {
            if let Some(name) = file.file_name() {
                std::fs::copy(&file, directory.path().join(name))?;
            }
        }
        File::create_new(directory.path().join("hello.txt"))?.write_all(b"hello")?;
        Ok(directory)
    });
    made.map_err(|error| Stop::Skipped(format!("no directory to pass in: {error}")))
}

fn unchanged(bench: &Bench<'_>, directory: &Path) -> Outcome {
    let fail = |error: std::io::Error| Stop::Failed(format!("the repo cannot be read any more: {error}"));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        names.push(entry.map_err(fail)?.file_name());
    }
    let own = bench.subject.tree_files();
    let mut expected: Vec<_> = own
        .iter()
        .filter_map(|file| file.file_name())
        .map(OsStr::to_owned)
        .collect();
    expected.push("hello.txt".into());
    expected.sort();
    names.sort();
    let mut text = String::new();
    File::open(directory.join("hello.txt"))
        .map_err(fail)?
        .take(100)
        .read_to_string(&mut text)
        .map_err(fail)?;
    ensure!(
        names == expected && text == "hello",
        "the repo was changed: {names:?}, hello.txt holds {text:?}"
    );
    Ok(())
}

async fn repo_is_there_and_stays_untouched(bench: &Bench<'_>) -> Outcome {
    let repo = repo(bench)?;
    let mut request = bench.request();
    request
        .inputs
        .insert("repo".to_owned(), repo.path().display().to_string());
    let (target, _) = bench.up(&request).await?;
    let ran = bench.run(&target, &read("hello.txt"), Vec::new()).await?;
    ensure!(ran.text() == "hello", "the repo is not the workspace: {ran:?}");
    for (name, text) in [("new.txt", "new"), ("hello.txt", "changed")] {
        let written = bench.run(&target, &write(name, text), Vec::new()).await?;
        ensure!(
            written.exit == ExecExit::Code(0),
            "{name} cannot be written: {written:?}"
        );
        let ran = bench.run(&target, &read(name), Vec::new()).await?;
        ensure!(ran.text() == text, "{name} was written and does not hold it: {ran:?}");
    }
    unchanged(bench, repo.path())?;
    bench.down(2, &target).await?;
    unchanged(bench, repo.path())
}

async fn read_only_workspace_is_read_only(bench: &Bench<'_>) -> Outcome {
    let repo = repo(bench)?;
    let mut profile = bench.subject.profile.clone();
    profile.workspace.access = WorkspaceAccess::Ro;
    let mut request = bench.request_of(profile);
    request
        .inputs
        .insert("repo".to_owned(), repo.path().display().to_string());
    let (target, _) = bench.up(&request).await?;
    let ran = bench.run(&target, &read("hello.txt"), Vec::new()).await?;
    ensure!(ran.text() == "hello", "the repo is not the workspace: {ran:?}");
    let ran = bench.run(&target, &write("new.txt", "new"), Vec::new()).await?;
    ensure!(ran.exit != ExecExit::Code(0), "a read-only workspace can be written");
    unchanged(bench, repo.path())
}

async fn missing_repo_is_refused(bench: &Bench<'_>) -> Outcome {
    let repo = repo(bench)?;
    let missing = repo.path().join("missing");
    let mut request = bench.request();
    request.inputs.insert("repo".to_owned(), missing.display().to_string());
    let kind = match bench.provision(1, &request).await {
        Ok(_) => return Err(Stop::Failed("a repo that does not exist was accepted".to_owned())),
        Err(error) => error.kind,
    };
    ensure!(
        kind == sandboxer_extension::ErrorKind::Invalid,
        "a repo that does not exist gives {kind:?}"
    );
    bench.expect_absent(&bench.bare_target(&request)).await
}

async fn mirror_has_no_call_yet(_: &Bench<'_>) -> Outcome {
    Err(Stop::Skipped(
        "the contract has no call that brings changes back yet".to_owned(),
    ))
}

async fn gpu_has_no_call_yet(_: &Bench<'_>) -> Outcome {
    Err(Stop::Skipped("no trial knows a GPU when it sees one".to_owned()))
}

async fn secrets_have_no_call_yet(_: &Bench<'_>) -> Outcome {
    Err(Stop::Skipped("the contract does not carry secrets yet".to_owned()))
}
