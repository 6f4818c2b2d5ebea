-- The log's tables. See docs/FORMAT.md for every column.

CREATE TABLE workflow_events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    payload BLOB NOT NULL,
    event_id BLOB NOT NULL,
    event_schema INTEGER NOT NULL,
    recorded_at TEXT NOT NULL,
    meta TEXT NOT NULL,
    content_type TEXT NOT NULL,
    hash BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    commit_place INTEGER NOT NULL,
    commit_size INTEGER NOT NULL,
    projected INTEGER NOT NULL,
    UNIQUE (run_id, sequence),
    UNIQUE (event_id)
);

CREATE INDEX workflow_events_unprojected ON workflow_events (position) WHERE projected = 0;

CREATE TABLE checkpoints (name TEXT NOT NULL PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE blobs (digest TEXT NOT NULL PRIMARY KEY, data BLOB NOT NULL);

-- The streams that the transaction at work is purging.
CREATE TABLE purging (run_id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;

CREATE TRIGGER workflow_events_never_change BEFORE UPDATE ON workflow_events
BEGIN
    SELECT RAISE(ABORT, 'events never change');
END;

-- INSERT OR REPLACE removes rows without asking the trigger on DELETE, unless the connection wants it to.
CREATE TRIGGER workflow_events_are_never_replaced BEFORE INSERT ON workflow_events
WHEN EXISTS (SELECT 1 FROM workflow_events WHERE position = NEW.position)
    OR EXISTS (SELECT 1 FROM workflow_events WHERE event_id = NEW.event_id)
    OR EXISTS (SELECT 1 FROM workflow_events WHERE run_id = NEW.run_id AND sequence = NEW.sequence)
BEGIN
    SELECT RAISE(ABORT, 'events are never replaced');
END;

CREATE TRIGGER workflow_events_leave_by_purge BEFORE DELETE ON workflow_events
WHEN NOT EXISTS (SELECT 1 FROM purging WHERE run_id = OLD.run_id)
BEGIN
    SELECT RAISE(ABORT, 'events are removed by a purge only');
END;
