//! Directories that are uploaded to start from.

use sandboxer_client::made_by;

use crate::served::{Served, run};

#[test]
fn an_uploaded_directory_is_the_workspace() {
    run(async {
        let mut served = Served::start();
        let tree = served
            .world
            .write("repo/src/main.c", "int main;")
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .to_owned();
        std::os::unix::fs::symlink("src/main.c", tree.join("link")).unwrap();
        let archive = made_by(move |to| {
            let mut archive = tar::Builder::new(to);
            archive.follow_symlinks(false);
            archive.append_dir_all(".", &tree)?;
            archive.finish()
        });
        let upload = served.client.upload(archive).await.unwrap();
        assert_eq!((upload.entries, upload.bytes), (4, 9));
        let id = served
            .sandbox(|request| {
                request
                    .inputs
                    .insert("repo".to_owned(), format!("upload:{}", upload.upload_id));
            })
            .await;
        assert_eq!(served.sh(&id, "cat link").await.stdout, "int main;");
        // What the sandbox does to its workspace is not done to the upload: it can be made again.
        assert_eq!(served.sh(&id, "rm -r src").await.exit_code, 0);
        served.client.recreate(&id).await.unwrap();
        assert_eq!(served.sh(&id, "cat link").await.stdout, "int main;");
        served.client.destroy(&id).await.unwrap();
        served.stop();
    });
}
