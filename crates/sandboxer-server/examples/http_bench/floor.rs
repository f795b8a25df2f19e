//! What the disk allows: bare commits of SQLite.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Outcome;

/// Commits of one row of this size in a second, each on disk before the next begins: the durability that an accepted create has.
pub(crate) fn commits(folder: &Path, bytes: usize) -> Outcome<f64> {
    let path = folder.join("floor.db");
    let sqlite = rusqlite::Connection::open(&path)?;
    sqlite.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE row (id INTEGER PRIMARY KEY, record TEXT NOT NULL)",
    )?;
    let record = "x".repeat(bytes);
    let mut insert = sqlite.prepare("INSERT INTO row (record) VALUES (?1)")?;
    let (began, mut count) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_secs(3) {
        insert.execute([&record])?;
        count += 1;
    }
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    drop(insert);
    drop(sqlite);
    for name in ["floor.db", "floor.db-wal", "floor.db-shm"] {
        let _ = std::fs::remove_file(folder.join(name));
    }
    Ok(rate)
}

/// Bytes of the record of one sandbox.
pub(crate) fn size_of_record(folder: &Path) -> Outcome<usize> {
    let sqlite = rusqlite::Connection::open(folder.join("sandboxer.db"))?;
    let size: i64 = sqlite.query_row("SELECT length(record) FROM sandbox LIMIT 1", (), |row| row.get(0))?;
    Ok(usize::try_from(size)?)
}
