//! `doctor` on a real installation: nothing where all is well, each finding with what to do, and `--fix` does it.

use serde_json::Value;

use crate::rows::{keep, open, restore};
use crate::sane::works;
use crate::support::{Answer, World};

/// The findings, as `class on result`.
fn found(answer: &Answer) -> Vec<String> {
    let report: Value = serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    let drifts = report["drift"]["drifts"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = drifts.map(|one| {
        assert!(
            !text(&one["found"]).is_empty() && !text(&one["action"]).is_empty(),
            "{one}"
        );
        format!("{} {} {}", text(&one["class"]), text(&one["on"]), text(&one["result"]))
    });
    lines.collect()
}

#[test]
fn doctor_finds_what_is_wrong_and_fixes_what_it_may() {
    let world = World::new();
    let empty = world.run(&["doctor"]);
    assert_eq!((empty.code, found(&empty).len()), (0, 0), "{empty:?}");
    assert!(!world.data.exists(), "a look made a database");
    let bystander = world.create(&[]);
    works(&world, &bystander, "before");
    let well = world.run(&["doctor"]);
    assert_eq!((well.code, found(&well).len()), (0, 0), "{well:?}");

    // A removal whose process died, a sandbox that was killed, room held for what is gone, a row nobody can read.
    let dropped = world.create(&[]);
    let killed = world.run_with(
        &["destroy", &dropped],
        &[("SBX_CRASH_AT", "destroy.intend.after_commit")],
    );
    assert_eq!(killed.code, -9);
    let table = world.run(&["doctor", "--output", "table"]);
    assert_eq!(table.code, 0, "nothing of it needs a person: {table:?}");
    assert!(
        table.stdout.contains("dropped_operation") && table.stdout.contains("doctor --fix"),
        "{table:?}"
    );
    let twice = [world.run(&["doctor"]), world.run(&["doctor"])];
    assert_eq!(found(&twice[0]), found(&twice[1]), "a look changed something");
    assert!(found(&twice[0])[0].starts_with("dropped_operation op-"), "{twice:?}");
    let fixed = world.run(&["doctor", "--fix"]);
    assert_eq!(fixed.code, 0, "{fixed:?}");
    assert!(found(&fixed)[0].ends_with("fixed"), "{fixed:?}");
    assert_eq!(world.run(&["get", &dropped]).json()["state"], "destroyed");
    assert_eq!(found(&world.run(&["doctor"])), Vec::<String>::new());

    let sql =
        format!("INSERT INTO reservation VALUES ('{dropped}', 'box', 1, 0, 0, 0); UPDATE reconciler SET due_at = 'x'");
    open(&world).execute_batch(&sql).unwrap();
    let fixed = world.run(&["doctor", "--fix"]);
    assert_eq!(fixed.code, 0, "{fixed:?}");
    assert_eq!(found(&fixed)[0], format!("held_capacity {dropped} fixed"));
    assert_eq!(found(&world.run(&["doctor"])), Vec::<String>::new());

    keep(&world);
    open(&world)
        .execute_batch(&format!(
            "UPDATE frozen SET record = '{{' WHERE sandbox_id = '{bystander}'"
        ))
        .unwrap();
    for args in [&["doctor"][..], &["doctor", "--fix"]] {
        let left = world.run(args);
        assert_eq!(left.code, 10, "{left:?}");
        assert!(left.stderr.contains("1 of 1 findings need a person"), "{left:?}");
        assert!(
            found(&left)[0].starts_with(&format!("damaged_row frozen {bystander}")),
            "{left:?}"
        );
    }
    works(&world, &bystander, "with a damaged row");
    restore(&world);
    assert_eq!(found(&world.run(&["doctor"])), Vec::<String>::new());
    world.destroy(&bystander);
}

#[test]
fn doctor_says_why_the_database_cannot_be_used() {
    let world = World::new();
    let id = world.create(&[]);
    let file = crate::sane::database(&world);
    keep(&world);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(
        &file,
        "no database, but a text that is long enough to be looked at as one by whoever opens it",
    )
    .unwrap();
    for args in [&["doctor"][..], &["doctor", "--fix"]] {
        let answer = world.run(args);
        assert_eq!(answer.code, 8, "{answer:?}");
        let report: Value = serde_json::from_str(&answer.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let database = checks.iter().find(|check| check["name"] == "database").unwrap();
        assert_eq!(
            (&database["state"], &report["drift"]),
            (&"missing".into(), &Value::Null),
            "{report}"
        );
    }
    std::fs::write(&file, whole).unwrap();
    works(&world, &id, "put back");
    world.destroy(&id);
}
