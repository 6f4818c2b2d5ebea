-- The read side's tables. Every column and default is also a field and default in rows.py: a test holds them equal.
--
-- No foreign keys: rows follow the events, and a log may hold events of a task whose run it does not hold, after an
-- import or a partial restore. Such rows are kept, and reported by `verify`. Whatever is below a run or a task run has
-- a key that begins with theirs, and a deletion by the beginning of the key takes it along.

CREATE TABLE workflows (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL DEFAULT '',
    version INTEGER NOT NULL DEFAULT 0,
    hash TEXT NOT NULL DEFAULT '',
    definition TEXT,
    metadata TEXT,
    saved_at TEXT,
    deleted_at TEXT
);

CREATE TABLE workflow_runs (
    id TEXT NOT NULL PRIMARY KEY,
    workflow_name TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT 'pending',
    user_message TEXT NOT NULL DEFAULT '',
    created_at TEXT,
    updated_at TEXT,
    started_at TEXT,
    finished_at TEXT,
    waiting_reason TEXT,
    waiting_until TEXT,
    input TEXT,
    output TEXT,
    failure TEXT,
    metadata TEXT,
    workflow_id TEXT,
    workflow_version INTEGER,
    workflow_hash TEXT,
    parent_run_id TEXT,
    worker TEXT,
    epoch INTEGER NOT NULL DEFAULT 0,
    lease_until TEXT,
    deleted_at TEXT,
    position INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX workflow_runs_by_position ON workflow_runs (position);

CREATE INDEX workflow_runs_by_status ON workflow_runs (status, position);

CREATE INDEX workflow_runs_by_workflow ON workflow_runs (workflow_name, position);

CREATE TABLE task_runs (
    run_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT 'pending',
    attempt INTEGER NOT NULL DEFAULT 0,
    depends_on TEXT,
    input TEXT,
    metadata TEXT,
    scheduled_at TEXT,
    started_at TEXT,
    finished_at TEXT,
    reason TEXT,
    due TEXT,
    reused_version INTEGER,
    position INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, task_id)
) WITHOUT ROWID;

CREATE INDEX task_runs_by_status ON task_runs (run_id, status);

CREATE TABLE attempts (
    run_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'running',
    worker TEXT NOT NULL DEFAULT '',
    epoch INTEGER NOT NULL DEFAULT 0,
    consumes TEXT,
    started_at TEXT,
    finished_at TEXT,
    failure TEXT,
    reason TEXT,
    usage TEXT,
    version INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, task_id, attempt)
) WITHOUT ROWID;

CREATE TABLE node_outputs (
    run_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    output TEXT,
    digest TEXT NOT NULL DEFAULT '',
    consumed TEXT,
    completed_at TEXT,
    version INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, task_id)
);

CREATE INDEX node_outputs_in_completion_order ON node_outputs (run_id, version);

-- For views in the transaction of the append: up to where events that were appended without them were caught up with.
CREATE TABLE caught_up (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    position INTEGER NOT NULL
);
