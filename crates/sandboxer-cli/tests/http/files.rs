//! Files of a workspace.

use std::io::Write as _;

use sandboxer_client::{ByteStream, MakeBody, made_by};
use sandboxer_model::error::{ErrorCode, UserError};

use crate::served::{Served, run};

fn body(bytes: &[u8]) -> MakeBody {
    let bytes = bytes.to_vec();
    made_by(move |to| to.write_all(&bytes))
}

async fn all(stream: Result<ByteStream, UserError>) -> Result<Vec<u8>, UserError> {
    let (mut stream, mut bytes) = (stream?, Vec::new());
    while let Some(chunk) = stream.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[test]
fn files_go_in_and_come_out_and_links_lead_nowhere_else() {
    run(async {
        let served = Served::start();
        let id = served.sandbox(|_| {}).await;
        let client = &served.client;
        let bytes: Vec<u8> = (0..2_000_000u32).map(|n| (n % 251) as u8).collect();
        let written = client
            .write_file(&id, "deep/er/fi le", Some(0o755), body(&bytes))
            .await
            .unwrap();
        assert_eq!((written.path.as_str(), written.bytes), ("deep/er/fi le", 2_000_000));
        assert!(all(client.read_file(&id, "deep/er/fi le").await).await.unwrap() == bytes);
        assert_eq!(served.sh(&id, "stat -c %a 'deep/er/fi le'").await.stdout, "755\n");
        let listed = client.files(&id, "deep/er").await.unwrap();
        assert_eq!(
            (listed.len(), listed[0].name.as_str(), listed[0].size),
            (1, "fi le", 2_000_000)
        );

        let archive = all(client.read_archive(&id, "deep").await).await.unwrap();
        client.write_archive(&id, "copy", body(&archive)).await.unwrap();
        assert_eq!(served.sh(&id, "cmp 'deep/er/fi le' 'copy/er/fi le'").await.exit_code, 0);

        // A link leads to what is there inside, and a file of this machine is not.
        let canary = served.world.write("canary", "of the host");
        let link = format!("ln -s {} link; ln -s / root; ln -s deep dir", canary.display());
        assert_eq!(served.sh(&id, &link).await.exit_code, 0);
        let error = all(client.read_file(&id, "link").await).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::NotFound);
        let through = format!("root{}", canary.display());
        assert_eq!(
            all(client.read_file(&id, &through).await).await.unwrap_err().code,
            ErrorCode::NotFound
        );
        client.write_file(&id, "link", None, body(b"inside")).await.unwrap();
        assert_eq!(std::fs::read(&canary).unwrap(), b"of the host");

        let code = async |path: &str| all(client.read_file(&id, path).await).await.unwrap_err();
        assert_eq!(code("none").await.code, ErrorCode::NotFound);
        let error = code("deep").await;
        assert_eq!(error.code, ErrorCode::InvalidInput);
        assert!(error.hints.iter().any(|hint| hint.contains("archive=tar")), "{error:?}");
        for path in [
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a//b",
            "",
            "a/",
            "./a",
            "x\0y",
            &"d/".repeat(2100),
        ] {
            assert_eq!(code(path).await.code, ErrorCode::InvalidInput, "{path:?}");
            let error = client.write_file(&id, path, None, body(b"1")).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidInput, "{path:?}");
            assert_eq!(
                client.remove_file(&id, path).await.unwrap_err().code,
                ErrorCode::InvalidInput,
                "{path:?}"
            );
            assert_eq!(
                client.files(&id, path).await.unwrap_err().code,
                ErrorCode::InvalidInput,
                "{path:?}"
            );
        }
        client.remove_file(&id, "deep").await.unwrap();
        assert_eq!(
            client.remove_file(&id, "deep").await.unwrap_err().code,
            ErrorCode::NotFound
        );
        assert_eq!(
            client.remove_file(&id, ".").await.unwrap_err().code,
            ErrorCode::InvalidInput
        );
        served.end(&id).await;
    });
}

#[test]
fn a_transfer_that_breaks_off_changes_nothing() {
    run(async {
        let served = Served::start();
        let id = served.sandbox(|_| {}).await;
        served.client.write_file(&id, "kept", None, body(b"old")).await.unwrap();
        let before = served.sh(&id, "find . | sort").await.stdout;
        for (query, promised) in [
            ("path=kept", 1_000_000),
            ("path=new/file", 1_000_000),
            ("path=.&archive=tar", 50_000),
        ] {
            let mut connection = std::net::TcpStream::connect(served.address.strip_prefix("http://").unwrap()).unwrap();
            let head = format!(
                "PUT /v1/sandboxes/{id}/files?{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/octet-stream\r\ncontent-length: {promised}\r\n\r\n",
                served.key
            );
            connection.write_all(head.as_bytes()).unwrap();
            connection.write_all(&[b'x'; 40_000]).unwrap();
            // It has begun once its temporary file is there.
            while served
                .sh(&id, "find . -name '.sandboxer-*' | grep -q .")
                .await
                .exit_code
                != 0
            {}
            drop(connection);
            while served
                .sh(&id, "find . -name '.sandboxer-*' | grep -q .")
                .await
                .exit_code
                == 0
            {}
        }
        served.sh(&id, "rmdir new").await;
        assert_eq!(served.sh(&id, "find . | sort").await.stdout, before);
        assert_eq!(served.sh(&id, "cat kept").await.stdout, "old");
        served.end(&id).await;
    });
}

#[test]
fn large_files_go_through_without_being_held() {
    run(async {
        let served = Served::start();
        let id = served.sandbox(|_| {}).await;
        served.sh(&id, "true").await;
        let before = served.memory();
        const MIB: usize = 192;
        let large = made_by(|to| (0..MIB).try_for_each(|_| to.write_all(&[7; 1 << 20])));
        let written = served.client.write_file(&id, "large", None, large).await.unwrap();
        assert_eq!(written.bytes, (MIB << 20) as u64);
        let mut read = served.client.read_file(&id, "large").await.unwrap();
        let (mut count, mut most) = (0, 0);
        while let Some(chunk) = read.next().await.unwrap() {
            count += chunk.len();
            most = most.max(if count % (32 << 20) < 70_000 {
                served.memory()
            } else {
                0
            });
        }
        assert_eq!(count, MIB << 20);
        let grown = most.max(served.memory()).saturating_sub(before);
        println!("{MIB} MiB went in and out; the server grew by {grown} KiB");
        assert!(grown < 24 * 1024, "{grown} KiB");
        // A client that leaves in the middle leaves nobody behind.
        let mut read = served.client.read_file(&id, "large").await.unwrap();
        assert!(read.next().await.unwrap().is_some());
        drop(read);
        served.wait_for_end_of(&id, "./large").await;
        served.end(&id).await;
    });
}

#[test]
fn a_full_disk_is_told_and_what_was_there_stays() {
    run(async {
        let served = Served::start();
        let profiles = served.world.path().join("home/.config/sandboxer/profiles");
        std::fs::create_dir_all(&profiles).unwrap();
        let small = "id: profile.small\nversion: 1.0.0\ndescription: little room\nextension: ext.native\nresources:\n  disk_mb: 16\n";
        std::fs::write(profiles.join("profile.small.yaml"), small).unwrap();
        let id = served
            .sandbox(|request| request.profile = Some("profile.small".to_owned()))
            .await;
        let client = &served.client;
        client.write_file(&id, "kept", None, body(b"old")).await.unwrap();
        let large = made_by(|to| (0..64).try_for_each(|_| to.write_all(&[7; 1 << 20])));
        let error = client.write_file(&id, "kept", None, large).await.unwrap_err();
        // Where the kernel does not hold the limit of an ordinary user, somebody watches, and the sandbox ends.
        if error.code != ErrorCode::QuotaExceeded && std::env::var_os("SBX_TEST_ROOTLESS").is_some() {
            crate::support::skip("a_full_disk_is_told", "the limit is held by a watchdog here");
        } else {
            assert_eq!(error.code, ErrorCode::QuotaExceeded, "{error:?}");
            let left = served.sh(&id, "cat kept; ls -A").await.stdout;
            assert_eq!(left, "oldkept\n");
        }
        served.end(&id).await;
    });
}
