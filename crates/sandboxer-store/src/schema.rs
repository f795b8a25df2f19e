//! The tables. A few columns are indexed; the rest of a record is typed JSON beside them.

/// `SBXR`: marks a file as ours.
pub(crate) const APPLICATION_ID: i64 = 0x5342_5852;
/// Version of the tables this release reads and writes.
pub(crate) const VERSION: i64 = 7;
/// The pragmas of every connection.
///
/// `wal_autocheckpoint` is the number of pages of the log after which a commit folds it into the database. Low, since
/// processes exit without folding: the next one to open reads this much back.
pub(crate) const SET_UP: &str = "PRAGMA wal_autocheckpoint = 128; PRAGMA synchronous = NORMAL";

/// The pragmas of the connection of a shared store that writes. It lives long and folds the log seldom, and never while somebody
/// waits to open.
pub(crate) const SHARED_WRITER: &str = "PRAGMA wal_autocheckpoint = 1000; PRAGMA cache_size = -4096";
/// The pragmas of those that read, and do nothing else.
pub(crate) const SHARED_READER: &str = "PRAGMA query_only = ON; PRAGMA cache_size = -2048";

/// What leads from each version to the next, beginning with nothing. A step that was released is never changed: tables are
/// only added to, so that a command of the release before, still running, is not disturbed.
pub(crate) const STEPS: [&str; VERSION as usize] = [RECORDS, HOSTS, KEYS, UPTIME, SINKS, RECONCILERS, CALLERS];

/// Version 1. Times are microseconds since 1970.
///
/// Tables whose rows hold JSON have row ids: without them a row is looked for among whole rows, and each that does not fit
/// into its page is read to its end on the way.
const RECORDS: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sandbox (
    id TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL, profile_id TEXT NOT NULL, project TEXT, extension_id TEXT, host TEXT,
    scope_key TEXT, deadline BIGINT, epoch BIGINT NOT NULL, revision BIGINT NOT NULL, created_at BIGINT NOT NULL,
    record TEXT NOT NULL
);
CREATE UNIQUE INDEX sandbox_scope ON sandbox (scope_key) WHERE scope_key IS NOT NULL;
CREATE INDEX sandbox_live ON sandbox (deadline, created_at) WHERE state <> 'destroyed';
CREATE TABLE frozen (sandbox_id TEXT NOT NULL PRIMARY KEY REFERENCES sandbox (id), record TEXT NOT NULL);
CREATE TABLE operation (
    id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, sandbox_id TEXT NOT NULL REFERENCES sandbox (id), params TEXT NOT NULL,
    status TEXT NOT NULL, step TEXT, lease_owner TEXT NOT NULL, lease_until BIGINT NOT NULL, epoch BIGINT NOT NULL,
    created_at BIGINT NOT NULL, error TEXT, is_open INTEGER NOT NULL
);
CREATE INDEX operation_open ON operation (lease_until) WHERE is_open = 1;
CREATE INDEX operation_sandbox ON operation (sandbox_id);
CREATE TABLE operation_step (
    operation_id TEXT NOT NULL REFERENCES operation (id), seq BIGINT NOT NULL, name TEXT NOT NULL, phase TEXT NOT NULL,
    attempt BIGINT NOT NULL, status TEXT NOT NULL, output TEXT NOT NULL, error TEXT, started_at BIGINT NOT NULL,
    duration_us BIGINT, PRIMARY KEY (operation_id, seq)
);
CREATE TABLE event (
    sandbox_id TEXT NOT NULL REFERENCES sandbox (id), seq BIGINT NOT NULL, id TEXT NOT NULL, at BIGINT NOT NULL,
    kind TEXT NOT NULL, state TEXT NOT NULL, record TEXT NOT NULL, delivered INTEGER NOT NULL,
    PRIMARY KEY (sandbox_id, seq)
);
CREATE TABLE meter (
    sandbox_id TEXT NOT NULL REFERENCES sandbox (id), meter TEXT NOT NULL, period BIGINT NOT NULL,
    quantity BIGINT NOT NULL, cost_micros BIGINT NOT NULL, PRIMARY KEY (sandbox_id, meter, period)
) WITHOUT ROWID;
";

/// Version 2: registered hosts, and what sandboxes hold of them. A host of which somebody holds something need not be
/// registered: a caller may name any.
const HOSTS: &str = "
CREATE TABLE host (
    name TEXT PRIMARY KEY, address TEXT NOT NULL, state TEXT NOT NULL, slots BIGINT, cpu_milli BIGINT, memory_mb BIGINT,
    disk_mb BIGINT, added_at BIGINT NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE reservation (
    sandbox_id TEXT PRIMARY KEY REFERENCES sandbox (id), host TEXT NOT NULL, slots BIGINT NOT NULL,
    cpu_milli BIGINT NOT NULL, memory_mb BIGINT NOT NULL, disk_mb BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX reservation_host ON reservation (host);
";

/// Version 3: the idempotency keys that sandboxes were made with.
const KEYS: &str = "
CREATE TABLE idempotency (
    key TEXT PRIMARY KEY, digest TEXT NOT NULL, sandbox_id TEXT NOT NULL REFERENCES sandbox (id),
    created_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_sandbox ON idempotency (sandbox_id);
";

/// Version 4: deadlines as uptimes of the machine, in microseconds since the start it is at: whatever the calendar says.
const UPTIME: &str = "
ALTER TABLE sandbox ADD COLUMN boot TEXT;
ALTER TABLE sandbox ADD COLUMN deadline_uptime BIGINT;
CREATE INDEX sandbox_uptime ON sandbox (boot, deadline_uptime) WHERE deadline_uptime IS NOT NULL;
";

/// Version 5: where events are sent, and what is still to be sent.
///
/// A commit notes in `outbox` that a sandbox has events from `since` on, and nothing when there is no sink. Delivery turns
/// that into one row per sink and sandbox: everything up to `delivered` was sent, everything up to `target` is to be. A row
/// goes when it is done, so the table holds what is undelivered and no more. `due_at` is the end of the lease while
/// somebody holds one; without it the row was given up.
const SINKS: &str = "
CREATE TABLE sink (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, secret TEXT, failures BIGINT NOT NULL,
    paused_until BIGINT NOT NULL, slow_until BIGINT NOT NULL, last_error TEXT, record TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE outbox (sandbox_id TEXT PRIMARY KEY, since BIGINT NOT NULL) WITHOUT ROWID;
CREATE TABLE delivery (
    sink_id TEXT NOT NULL, sandbox_id TEXT NOT NULL, delivered BIGINT NOT NULL, target BIGINT NOT NULL,
    due_at BIGINT, lease_owner TEXT NOT NULL, attempts BIGINT NOT NULL, failed_since BIGINT, error TEXT,
    PRIMARY KEY (sink_id, sandbox_id)
) WITHOUT ROWID;
CREATE INDEX delivery_due ON delivery (sink_id, due_at) WHERE due_at IS NOT NULL;
";

/// Version 6: who looked last and when to look again; what was seen once and must be seen again before anybody acts on
/// it; when each sandbox was last seen alive.
const RECONCILERS: &str = "
CREATE TABLE reconciler (
    name TEXT PRIMARY KEY, lease_owner TEXT NOT NULL, lease_until BIGINT NOT NULL, due_at BIGINT NOT NULL,
    revision BIGINT NOT NULL, report TEXT
) WITHOUT ROWID;
CREATE TABLE sighting (
    topic TEXT NOT NULL, thing TEXT NOT NULL, first_at BIGINT NOT NULL, last_at BIGINT NOT NULL, times BIGINT NOT NULL,
    why TEXT NOT NULL, PRIMARY KEY (topic, thing)
) WITHOUT ROWID;
CREATE TABLE alive (sandbox_id TEXT PRIMARY KEY REFERENCES sandbox (id), at BIGINT NOT NULL) WITHOUT ROWID;
";

/// Version 7: who may call and what they did; what lists and streams are read from.
///
/// `listing` and `label` repeat what a list asks for, in narrow rows: a page of a list must not read records. Triggers keep
/// them, and the order of all events, so that a command of an earlier release that still writes keeps them right too.
/// A row that somebody puts back from a copy takes the place of what told of it.
/// `placed` gives events the order of their commits: the write lock is held, so numbers have no gaps.
const CALLERS: &str = "
CREATE TABLE listing (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, profile_id TEXT NOT NULL, project TEXT, actor TEXT, owner TEXT,
    run_id TEXT, scope TEXT
) WITHOUT ROWID;
CREATE TABLE label (
    sandbox_id TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (sandbox_id, key)
) WITHOUT ROWID;
CREATE TABLE placed (position INTEGER PRIMARY KEY, sandbox_id TEXT NOT NULL, seq BIGINT NOT NULL);
CREATE TRIGGER sandbox_listed AFTER INSERT ON sandbox BEGIN
    INSERT OR REPLACE INTO listing (id, state, profile_id, project, actor, owner, run_id, scope)
    VALUES (NEW.id, NEW.state, NEW.profile_id, NEW.project, NEW.record ->> '$.sandbox.consumer.actor',
        NEW.record ->> '$.facts.owner', NEW.record ->> '$.sandbox.consumer.run_id', NEW.record ->> '$.sandbox.scope');
    INSERT OR REPLACE INTO label (sandbox_id, key, value) SELECT NEW.id, each.key, each.value
    FROM json_each(NEW.record, '$.sandbox.labels') AS each WHERE each.type = 'text';
END;
CREATE TRIGGER sandbox_moved AFTER UPDATE OF state ON sandbox WHEN OLD.state IS NOT NEW.state BEGIN
    UPDATE listing SET state = NEW.state WHERE id = NEW.id;
END;
CREATE TRIGGER sandbox_labelled AFTER UPDATE OF record ON sandbox
WHEN CASE WHEN json_valid(OLD.record) THEN OLD.record -> '$.sandbox.labels' END
    IS NOT CASE WHEN json_valid(NEW.record) THEN NEW.record -> '$.sandbox.labels' END
BEGIN
    DELETE FROM label WHERE sandbox_id = NEW.id;
    INSERT INTO label (sandbox_id, key, value) SELECT NEW.id, each.key, each.value
    FROM json_each(CASE WHEN json_valid(NEW.record) THEN NEW.record END, '$.sandbox.labels') AS each WHERE each.type = 'text';
END;
CREATE TRIGGER event_placed AFTER INSERT ON event BEGIN
    INSERT INTO placed (sandbox_id, seq) VALUES (NEW.sandbox_id, NEW.seq);
END;
INSERT INTO listing (id, state, profile_id, project, actor, owner, run_id, scope)
    SELECT id, state, profile_id, project, whole ->> '$.sandbox.consumer.actor', whole ->> '$.facts.owner',
        whole ->> '$.sandbox.consumer.run_id', whole ->> '$.sandbox.scope'
    FROM (SELECT id, state, profile_id, project, CASE WHEN json_valid(record) THEN record END AS whole FROM sandbox);
INSERT INTO label (sandbox_id, key, value) SELECT sandbox.id, each.key, each.value
    FROM sandbox, json_each(CASE WHEN json_valid(sandbox.record) THEN sandbox.record END, '$.sandbox.labels') AS each WHERE each.type = 'text';
INSERT INTO placed (sandbox_id, seq) SELECT sandbox_id, seq FROM event
    ORDER BY MAX(at) OVER (PARTITION BY sandbox_id ORDER BY seq), sandbox_id, seq;
CREATE INDEX listing_state ON listing (state);
CREATE INDEX listing_profile ON listing (profile_id);
CREATE INDEX listing_project ON listing (project, state) WHERE project IS NOT NULL;
CREATE INDEX listing_owner ON listing (project, owner, state) WHERE owner IS NOT NULL;
CREATE INDEX listing_shared ON listing (project, state) WHERE scope = 'shared';
CREATE INDEX listing_actor ON listing (actor);
CREATE INDEX listing_run ON listing (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX label_value ON label (key, value);
CREATE TABLE api_key (
    id TEXT PRIMARY KEY, hash TEXT NOT NULL, last_used_at BIGINT, record TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE project (
    name TEXT PRIMARY KEY, max_live BIGINT NOT NULL, creates_per_second BIGINT NOT NULL, burst BIGINT NOT NULL
) WITHOUT ROWID;
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY, at BIGINT NOT NULL, action TEXT NOT NULL, object TEXT, key_id TEXT, name TEXT, project TEXT,
    address TEXT, request_id TEXT, status BIGINT NOT NULL, previous TEXT NOT NULL, digest TEXT NOT NULL
);
CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'rows of the audit log are never changed');
END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'rows of the audit log are never removed');
END;
CREATE TABLE request (
    key TEXT NOT NULL PRIMARY KEY, digest TEXT NOT NULL, owner TEXT NOT NULL, started_at BIGINT NOT NULL, status BIGINT, body TEXT
);
CREATE INDEX request_started ON request (started_at);
";
