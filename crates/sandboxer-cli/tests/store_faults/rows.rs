//! Rows of one sandbox, damaged one after the other in every way a value can be wrong: the others stay listed and usable,
//! whoever asks for that one hears which row it is, and nothing stands still.

use rusqlite::Connection;

use crate::sane::{database, sane, state_of, works};
use crate::serving::Serving;
use crate::support::{World, wait_until};

/// Tables, the column that names the sandbox, and columns that can be damaged.
const TABLES: [(&str, &str, &[&str]); 9] = [
    (
        "sandbox",
        "id",
        &[
            "id",
            "record",
            "state",
            "epoch",
            "revision",
            "deadline",
            "deadline_uptime",
            "created_at",
        ],
    ),
    ("frozen", "sandbox_id", &["record"]),
    (
        "operation",
        "sandbox_id",
        &[
            "id",
            "kind",
            "params",
            "status",
            "lease_owner",
            "lease_until",
            "epoch",
            "created_at",
        ],
    ),
    (
        "operation_step",
        "sandbox_id",
        &["seq", "name", "phase", "status", "output", "started_at"],
    ),
    ("event", "sandbox_id", &["seq", "at", "state", "record"]),
    ("meter", "sandbox_id", &["period", "quantity"]),
    ("reservation", "sandbox_id", &["host", "slots"]),
    ("idempotency", "sandbox_id", &["key", "digest"]),
    ("alive", "sandbox_id", &["at"]),
];

/// What a value is replaced by.
const VALUES: [(&str, &str); 6] = [
    ("a word", "'%no-such-thing%'"),
    ("a negative number", "-7"),
    ("broken JSON", "'{\"sandbox\": {\"sandbox_id\": '"),
    ("half of it", "substr({column}, 1, length({column}) / 2)"),
    ("bytes that are no text", "x'ff00fe'"),
    ("nothing", "NULL"),
];

pub(crate) fn open(world: &World) -> Connection {
    let connection = Connection::open(database(world)).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    connection
}

/// The rows of the victim.
fn rows_of(table: &str, column: &str, id: &str) -> String {
    if table == "operation_step" {
        return format!("operation_id IN (SELECT id FROM operation WHERE sandbox_id = '{id}')");
    }
    format!("{column} = '{id}'")
}

/// A copy of everything, and everything as it was in the copy.
pub(crate) fn keep(world: &World) {
    let connection = open(world);
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    std::fs::copy(database(world), world.path().join("whole.db")).unwrap();
}

/// Puts the damaged tables back from the copy.
pub(crate) fn restore(world: &World) {
    let connection = open(world);
    let copy = world.path().join("whole.db");
    connection
        .execute("ATTACH DATABASE ?1 AS whole", [copy.to_str().unwrap()])
        .unwrap();
    // What lists and streams are read from is made anew with the rows it tells of.
    let mut sql =
        String::from("BEGIN IMMEDIATE; DELETE FROM main.listing; DELETE FROM main.label; DELETE FROM main.placed;");
    for (table, ..) in TABLES {
        sql += &format!("DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM whole.{table};");
    }
    sql += "COMMIT";
    connection.execute_batch(&sql).unwrap();
}

#[test]
fn a_damaged_row_of_a_sandbox_is_named_and_is_in_nobody_elses_way() {
    let (cases, refused) = damage_each(&TABLES[..2]);
    assert!(cases >= 40 && refused >= 80, "{cases} damaged rows, {refused} refusals");
}

#[test]
fn a_damaged_row_of_its_history_is_named_and_is_in_nobody_elses_way() {
    let (cases, refused) = damage_each(&TABLES[2..]);
    assert!(cases >= 80 && refused >= 40, "{cases} damaged rows, {refused} refusals");
}

/// Returns how many rows were damaged, and how many commands were refused.
fn damage_each(tables: &[(&str, &str, &[&str])]) -> (usize, usize) {
    let (mut rounds, mut cases, mut refused) = (0, 0, 0);
    for (table, key, columns) in tables {
        let world = World::new();
        let bystander = world.create(&[]);
        for column in *columns {
            for (what, value) in VALUES {
                let case = format!("{table}.{column} is {what}");
                let victim = world.create(&["--idempotency-key", &format!("key-{rounds}"), "--ttl", "6h"]);
                rounds += 1;
                let rows = format!(
                    "INSERT INTO reservation VALUES ('{victim}', 'box', 1, 0, 0, 0); \
                     INSERT INTO alive VALUES ('{victim}', 5); \
                     INSERT INTO meter VALUES ('{victim}', 'duration_ms', 9, 1, 0)"
                );
                open(&world).execute_batch(&rows).unwrap();
                keep(&world);
                let value = value.replace("{column}", column);
                let sql = format!(
                    "UPDATE {table} SET {column} = {value} WHERE {}",
                    rows_of(table, key, &victim)
                );
                // What a table does not hold, nobody has to read.
                if open(&world).execute(&sql, ()).is_ok_and(|rows| rows > 0) {
                    cases += 1;
                    refused += bear(&world, &bystander, &victim, &case);
                }
                restore(&world);
                world.destroy(&victim);
            }
        }
        works(&world, &bystander, "at the end");
        world.destroy(&bystander);
    }
    println!("{cases} damaged rows, {refused} commands refused");
    (cases, refused)
}

/// Every command with a damaged row of `victim`. Returns how many were refused.
fn bear(world: &World, bystander: &str, victim: &str, case: &str) -> usize {
    works(world, bystander, case);
    for args in [
        &["list"][..],
        &["expire", "--apply"],
        &["status"],
        &["serve", "--once"],
        &["run", "--", "true"],
    ] {
        let answer = sane(world, args, case);
        assert_eq!(answer.code, 0, "{case}: {args:?}: {answer:?}");
    }
    let mut refused = 0;
    let doctor = world.run(&["doctor"]);
    assert!(
        [0, 10].contains(&doctor.code) && !doctor.stderr.contains("panicked"),
        "{case}: {doctor:?}"
    );
    for args in [
        &["get", victim][..],
        &["explain", victim],
        &["events", victim],
        &["extend-ttl", victim, "--duration", "1m"],
        &["recreate", victim],
        &["destroy", victim],
    ] {
        let answer = sane(world, args, case);
        refused += usize::from(answer.code != 0);
        if answer.code == 8 {
            assert!(answer.stderr.contains("row `"), "{case}: {args:?}: {answer:?}");
            assert!(
                doctor.code == 10 && doctor.stdout.contains("damaged_row"),
                "{case}: doctor does not say why {args:?} is refused: {doctor:?}"
            );
        }
    }
    works(world, bystander, case);
    refused
}

/// The row of a sandbox that was being made or removed when its process died.
#[test]
fn a_damaged_row_of_what_was_left_undone_stops_no_recovery() {
    for (table, column) in [
        ("sandbox", "record"),
        ("sandbox", "state"),
        ("operation", "params"),
        ("operation", "kind"),
        ("operation", "id"),
        ("operation", "lease_until"),
    ] {
        let case = format!("{table}.{column}");
        let world = World::new();
        let bystander = world.create(&[]);
        // Two deaths: one is damaged, the other must be taken over.
        let mut left = Vec::new();
        for _ in 0..2 {
            let id = world.create(&[]);
            let killed = world.run_with(&["destroy", &id], &[("SBX_CRASH_AT", "destroy.intend.after_commit")]);
            assert_eq!(killed.code, -9, "{killed:?}");
            left.push(id);
            if left.len() == 1 {
                let key = if table == "operation" { "sandbox_id" } else { "id" };
                let open_only = if table == "operation" { "AND is_open = 1" } else { "" };
                keep(&world);
                let sql = format!(
                    "UPDATE {table} SET {column} = '%%' WHERE {key} = '{}' {open_only}",
                    left[0]
                );
                assert_eq!(open(&world).execute(&sql, ()).unwrap(), 1, "{case}");
            }
        }
        works(&world, &bystander, &case);
        let other = sane(&world, &["get", &left[1]], &case).json();
        assert_eq!(other["state"], "destroyed", "{case}");
        let refused = sane(&world, &["destroy", &left[0]], &case);
        // An operation whose very name is gone cannot be found either.
        let code = if column == "id" { 4 } else { 8 };
        assert!(
            refused.code == code && refused.stderr.contains("row `"),
            "{case}: {refused:?}"
        );
        // Well again, it comes to rest by itself.
        let connection = open(&world);
        connection
            .execute(
                "ATTACH DATABASE ?1 AS whole",
                [world.path().join("whole.db").to_str().unwrap()],
            )
            .unwrap();
        let rows = match table {
            "sandbox" => format!("id = '{}'", left[0]),
            _ => format!("sandbox_id = '{}'", left[0]),
        };
        let sql = format!(
            "DELETE FROM main.{table} WHERE {rows}; INSERT INTO main.{table} SELECT * FROM whole.{table} WHERE {rows}"
        );
        connection.execute_batch(&sql).unwrap();
        drop(connection);
        sane(&world, &["list"], &case);
        let whole = sane(&world, &["get", &left[0]], &case).json();
        assert_eq!(whole["state"], "destroyed", "{case}");
        world.destroy(&bystander);
    }
}

/// Sinks, deliveries and reconcilers are nobody's, and everybody waits for them.
#[test]
fn damaged_books_of_the_house_stop_nobody() {
    let world = World::new();
    let id = world.create(&[]);
    let sane_once = |case: &str| {
        works(&world, &id, case);
        for args in [
            vec!["status"],
            vec!["serve", "--once"],
            vec!["events"],
            vec!["events", "sinks"],
            vec!["hosts", "list"],
        ] {
            let answer = sane(&world, &args, case);
            assert_eq!(answer.code, 0, "{case}: {args:?}: {answer:?}");
        }
    };
    sane_once("before");
    let rows = [
        "INSERT INTO sink VALUES ('hook-bad', 'webhook', 'active', NULL, 0, 0, 0, NULL, '{')",
        "INSERT INTO delivery VALUES ('hook-bad', 'nobody', 0, 3, 0, '', 0, NULL, NULL)",
        "INSERT INTO outbox VALUES ('nobody', 1)",
        "INSERT INTO host VALUES ('bad', 'me@bad', 'active', 1, 0, 0, 0, 0, '{')",
        "UPDATE reconciler SET report = '{'",
        "UPDATE reconciler SET due_at = 'never'",
        "UPDATE reconciler SET revision = x'ff'",
        "INSERT INTO sighting VALUES ('lost', 'thing', 'x', 'x', -1, 'why')",
        "INSERT INTO sighting VALUES ('orphan', 'thing', -1, 'x', -1, 'why')",
    ];
    for sql in rows {
        open(&world).execute(sql, ()).unwrap();
        sane_once(sql);
    }
    // The hub that a command knows of is its own to describe.
    open(&world)
        .execute(
            "INSERT INTO sink VALUES ('state-hub', 'state_hub', 'active', NULL, 0, 0, 0, NULL, '{')",
            (),
        )
        .unwrap();
    let hub = [("SANDBOXER_STATE_HUB_URL", "http://127.0.0.1:1")];
    let listed = world.run_with(&["list"], &hub);
    assert!(listed.code == 0 && listed.stdout.contains(&id), "{listed:?}");
    let sinks = world.run_with(&["events", "sinks"], &hub);
    assert!(
        sinks.code == 0 && sinks.stdout.contains("http://127.0.0.1:1"),
        "{sinks:?}"
    );
    world.destroy(&id);
}

/// A row whose record is that of another sandbox must not lead to that one.
#[test]
fn a_row_with_the_record_of_another_sandbox_harms_neither() {
    let world = World::new();
    let (bystander, victim) = (world.create(&[]), world.create(&[]));
    keep(&world);
    let sql = format!(
        "UPDATE sandbox SET record = (SELECT record FROM sandbox WHERE id = '{bystander}') WHERE id = '{victim}'"
    );
    open(&world).execute(&sql, ()).unwrap();
    for verb in ["destroy", "recreate", "get"] {
        let answer = sane(&world, &[verb, &victim], verb);
        assert_eq!(answer.code, 8, "{answer:?}");
        works(&world, &bystander, verb);
    }
    restore(&world);
    works(&world, &victim, "restored");
    world.destroy(&victim);
    world.destroy(&bystander);
}

/// A server that meets a damaged row says so once, and goes on.
#[test]
fn a_server_tells_of_a_damaged_row_once_and_goes_on() {
    let world = World::new();
    let (bystander, victim) = (world.create(&[]), world.create(&[]));
    keep(&world);
    let sql = format!("UPDATE sandbox SET record = '{{' WHERE id = '{victim}'");
    open(&world).execute(&sql, ()).unwrap();
    let server = Serving::start(&world);
    server.until("damaged row");
    // Each is removed in a turn of its own, after the one that met the row.
    for _ in 0..2 {
        let short = world.create(&["--ttl", "1s"]);
        // Looked at past the commands: those would remove it themselves.
        wait_until("the server goes on", || match state_of(&world, &short).as_str() {
            "destroyed" => Ok(()),
            other => Err(other.to_owned()),
        });
    }
    works(&world, &bystander, "while a server runs");
    let said = server.stop();
    assert_eq!(said.matches("damaged row").count(), 1, "{said}");
    restore(&world);
    world.destroy(&victim);
    world.destroy(&bystander);
}
