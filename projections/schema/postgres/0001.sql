-- The read side's tables. Every column and default is also a field and default in rows.py: a test holds them equal.
--
-- No foreign keys: rows follow the events, and a log may hold events of a task whose run it does not hold, after an
-- import or a partial restore. Such rows are kept, and reported by `verify`. Whatever is below a run or a task run has
-- a key that begins with theirs, and a deletion by the beginning of the key takes it along.

CREATE TABLE workflows (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL DEFAULT '',
    version BIGINT NOT NULL DEFAULT 0,
    hash TEXT COLLATE "C" NOT NULL DEFAULT '',
    definition TEXT COLLATE "C",
    metadata TEXT COLLATE "C",
    saved_at TEXT COLLATE "C",
    deleted_at TEXT COLLATE "C"
);

CREATE TABLE workflow_runs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workflow_name TEXT COLLATE "C" NOT NULL DEFAULT '',
    status TEXT COLLATE "C" NOT NULL DEFAULT 'pending',
    user_message TEXT COLLATE "C" NOT NULL DEFAULT '',
    created_at TEXT COLLATE "C",
    updated_at TEXT COLLATE "C",
    started_at TEXT COLLATE "C",
    finished_at TEXT COLLATE "C",
    waiting_reason TEXT COLLATE "C",
    waiting_until TEXT COLLATE "C",
    input TEXT COLLATE "C",
    output TEXT COLLATE "C",
    failure TEXT COLLATE "C",
    metadata TEXT COLLATE "C",
    workflow_id TEXT COLLATE "C",
    workflow_version BIGINT,
    workflow_hash TEXT COLLATE "C",
    parent_run_id TEXT COLLATE "C",
    worker TEXT COLLATE "C",
    epoch BIGINT NOT NULL DEFAULT 0,
    lease_until TEXT COLLATE "C",
    deleted_at TEXT COLLATE "C",
    position BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX workflow_runs_by_position ON workflow_runs (position);

CREATE INDEX workflow_runs_by_status ON workflow_runs (status, position);

-- By hash, since a name may be longer than what fits into an ordered index.
CREATE INDEX workflow_runs_by_workflow ON workflow_runs USING hash (workflow_name);

CREATE TABLE task_runs (
    run_id TEXT COLLATE "C" NOT NULL,
    task_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL DEFAULT '',
    status TEXT COLLATE "C" NOT NULL DEFAULT 'pending',
    attempt BIGINT NOT NULL DEFAULT 0,
    depends_on TEXT COLLATE "C",
    input TEXT COLLATE "C",
    metadata TEXT COLLATE "C",
    scheduled_at TEXT COLLATE "C",
    started_at TEXT COLLATE "C",
    finished_at TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    due TEXT COLLATE "C",
    reused_version BIGINT,
    position BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, task_id)
);

CREATE INDEX task_runs_by_status ON task_runs (run_id, status);

CREATE TABLE attempts (
    run_id TEXT COLLATE "C" NOT NULL,
    task_id TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,
    status TEXT COLLATE "C" NOT NULL DEFAULT 'running',
    worker TEXT COLLATE "C" NOT NULL DEFAULT '',
    epoch BIGINT NOT NULL DEFAULT 0,
    consumes TEXT COLLATE "C",
    started_at TEXT COLLATE "C",
    finished_at TEXT COLLATE "C",
    failure TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    usage TEXT COLLATE "C",
    version BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, task_id, attempt)
);

CREATE TABLE node_outputs (
    run_id TEXT COLLATE "C" NOT NULL,
    task_id TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL DEFAULT 0,
    output TEXT COLLATE "C",
    digest TEXT COLLATE "C" NOT NULL DEFAULT '',
    consumed TEXT COLLATE "C",
    completed_at TEXT COLLATE "C",
    version BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, task_id)
);

CREATE INDEX node_outputs_in_completion_order ON node_outputs (run_id, version);

-- For views in the transaction of the append: up to where events that were appended without them were caught up with.
CREATE TABLE caught_up (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    position BIGINT NOT NULL
);
