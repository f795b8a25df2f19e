//! A database as it is after a long time.

use std::path::Path;

use crate::Outcome;

/// Puts copies of one sandbox into the database until there are so many, spread over 20 labels and 50 runs; returns ids of some.
pub(crate) fn fill(folder: &Path, wanted: u32, like: &str) -> Outcome<Vec<String>> {
    let mut sqlite = rusqlite::Connection::open(folder.join("sandboxer.db"))?;
    sqlite.busy_timeout(std::time::Duration::from_secs(30))?;
    let copy = sqlite.transaction()?;
    let mut ids = Vec::new();
    {
        let mut insert = copy.prepare(
            "INSERT INTO sandbox (id, state, profile_id, project, extension_id, host, scope_key, deadline, epoch, revision, \
             created_at, record) \
             SELECT ?1, CASE WHEN ?2 % 10 = 0 THEN state ELSE 'destroyed' END, profile_id, project, extension_id, host, NULL, NULL, \
             epoch, revision, created_at - ?2, \
             json_set(record, '$.sandbox.sandbox_id', ?1, '$.sandbox.labels', json_object('team', 'team-' || (?2 % 20)), \
             '$.sandbox.consumer.run_id', 'run-' || (?2 % 50), '$.sandbox.state', \
             CASE WHEN ?2 % 10 = 0 THEN state ELSE 'destroyed' END) FROM sandbox WHERE id = ?3",
        )?;
        // Ids of a time before: their order is that of their age.
        let alphabet: Vec<char> = "0123456789abcdefghjkmnpqrstvwxyz".chars().collect();
        for number in 0..wanted {
            let mut tail: Vec<char> = like.chars().skip("sbx-01m7ypee".len()).collect();
            for (place, shift) in [(0, 15), (1, 10), (2, 5), (3, 0)] {
                let digit = (number >> shift) & 31;
                if let (Some(at), Some(letter)) = (tail.get_mut(place), alphabet.get(digit as usize)) {
                    *at = *letter;
                }
            }
            let id = format!("sbx-01k7ypee{}", tail.iter().collect::<String>());
            insert.execute((&id, number, like))?;
            // What is looked at is at its end: the backend knows nothing of a copy, and a look at a live one would say so.
            if number % 97 == 0 && number % 10 != 0 {
                ids.push(id);
            }
        }
    }
    copy.commit()?;
    // A database that has grown over months has no log of all of it.
    sqlite.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
    Ok(ids)
}
