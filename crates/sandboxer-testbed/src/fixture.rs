//! A repository as a stranger could bring it: a page, a database and a cache, all of them the same small image.

use std::path::Path;

use crate::access::{make, mode, write};
use crate::image::IMAGE;
use crate::skip::Unavailable;

/// What `GET /` of the page answers.
pub const PAGE: &str = "a page from the repository\n";
/// Part of what `GET /cgi-bin/env` answers: written when the image was built.
pub const BUILT: &str = "built\n";
/// The variable whose value `GET /cgi-bin/env` shows.
pub const VARIABLE: &str = "GREETING";
/// Its value.
pub const VALUE: &str = "hello from compose.yml";

/// Writes the repository with three services into a folder: `web` (built, health-checked, port 8080, a bound folder of
/// the repository), `db` (a named volume) and `cache`. `GET /` answers [`PAGE`], `GET /cgi-bin/env` its environment,
/// `GET /cgi-bin/peers` what the other two answered to it.
///
/// # Errors
/// It cannot be written.
pub fn web_db_cache(folder: &Path) -> Result<(), Unavailable> {
    web(folder, include_str!("fixture/web_db_cache/compose.yml"))
}

/// A page alone, of an image that every host has: nothing to build, no health to wait for.
///
/// # Errors
/// It cannot be written.
pub fn plain_one(folder: &Path) -> Result<(), Unavailable> {
    web(folder, include_str!("fixture/plain_one/compose.yml"))
}

/// The same with a database and a cache beside it.
///
/// # Errors
/// It cannot be written.
pub fn plain_three(folder: &Path) -> Result<(), Unavailable> {
    web(folder, include_str!("fixture/plain_three/compose.yml"))
}

fn web(folder: &Path, compose: &str) -> Result<(), Unavailable> {
    for part in ["site/cgi-bin", "web"] {
        make(&folder.join(part))?;
    }
    write(&folder.join("compose.yml"), compose)?;
    write(
        &folder.join("web/Dockerfile"),
        &format!(
            "FROM {IMAGE}\nRUN mkdir -p /srv && echo built > /srv/built\nCOPY serve /srv/serve\nCMD [\"/srv/serve\"]\n"
        ),
    )?;
    write(&folder.join("web/serve"), SERVE)?;
    write(&folder.join("site/index.html"), PAGE)?;
    for (name, script) in [("env", ENV), ("peers", PEERS)] {
        let file = folder.join("site/cgi-bin").join(name);
        write(&file, script)?;
        mode(&file, 0o755)?;
    }
    mode(&folder.join("web/serve"), 0o755)
}

/// The folder is bound at /www; what was built is shown beside it.
const SERVE: &str = "#!/bin/sh\nexec httpd -f -p 80 -h /www\n";
const ENV: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nenv | sort\ncat /srv/built\n";
const PEERS: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n\
                     for peer in db:5432 cache:6379; do\n\
                     printf '%s: ' \"$peer\"\n\
                     echo ask | timeout 3 nc \"${peer%:*}\" \"${peer#*:}\" || echo none\ndone\n";
