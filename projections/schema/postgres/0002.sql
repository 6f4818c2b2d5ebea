-- Workflow definitions with their history, what runs are found by, where blobs are needed, and task boards.

ALTER TABLE workflow_runs ADD COLUMN write_once TEXT COLLATE "C";

ALTER TABLE workflow_runs ADD COLUMN claimed_version BIGINT NOT NULL DEFAULT 0;

ALTER TABLE attempts ADD COLUMN digest TEXT COLLATE "C";

ALTER TABLE task_runs ADD COLUMN always_run BIGINT NOT NULL DEFAULT 0;

ALTER TABLE task_runs ADD COLUMN waiting_since TEXT COLLATE "C";

ALTER TABLE attempts ADD COLUMN decision TEXT COLLATE "C";

ALTER TABLE attempts ADD COLUMN decided_by TEXT COLLATE "C";

-- Of the few tasks that wait for something outside.
CREATE INDEX task_runs_waiting ON task_runs (position) WHERE waiting_since IS NOT NULL;

ALTER TABLE workflow_runs ADD COLUMN forked_from TEXT COLLATE "C";

ALTER TABLE workflow_runs ADD COLUMN forked_version BIGINT;

ALTER TABLE workflow_runs ADD COLUMN inherits BIGINT NOT NULL DEFAULT 0;

ALTER TABLE attempts ADD COLUMN inherited BIGINT NOT NULL DEFAULT 0;

CREATE INDEX workflow_runs_by_creation ON workflow_runs (created_at);

CREATE INDEX workflow_runs_by_end ON workflow_runs (finished_at);

-- By hash, since these may be longer than what fits into an ordered index.
CREATE INDEX workflow_runs_by_parent ON workflow_runs USING hash (parent_run_id);

CREATE INDEX workflow_runs_by_definition ON workflow_runs USING hash (workflow_id);

CREATE INDEX workflow_runs_by_origin ON workflow_runs USING hash (forked_from);

CREATE TABLE run_metadata (
    run_id TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run_id, digest)
);

CREATE INDEX run_metadata_by_digest ON run_metadata (digest);

CREATE TABLE workflow_versions (
    workflow_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL DEFAULT '',
    hash TEXT COLLATE "C" NOT NULL DEFAULT '',
    definition TEXT COLLATE "C",
    metadata TEXT COLLATE "C",
    saved_at TEXT COLLATE "C",
    PRIMARY KEY (workflow_id, version)
);

CREATE TABLE blob_references (
    stream TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (stream, digest)
);

CREATE INDEX blob_references_by_digest ON blob_references (digest);

CREATE TABLE board_tasks (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    title TEXT COLLATE "C" NOT NULL DEFAULT '',
    status TEXT COLLATE "C" NOT NULL DEFAULT 'ready',
    description TEXT COLLATE "C" NOT NULL DEFAULT '',
    acceptance_criteria TEXT COLLATE "C" NOT NULL DEFAULT '',
    tags TEXT COLLATE "C",
    priority BIGINT NOT NULL DEFAULT 0,
    assignee TEXT COLLATE "C",
    claim BIGINT NOT NULL DEFAULT 0,
    lease_until TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    manual BIGINT NOT NULL DEFAULT 0,
    created_at TEXT COLLATE "C",
    updated_at TEXT COLLATE "C",
    deleted_at TEXT COLLATE "C",
    position BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX board_tasks_by_age ON board_tasks (status, position);

CREATE INDEX board_tasks_by_priority ON board_tasks (status, priority DESC, position);

CREATE TABLE board_dependencies (
    task_id TEXT COLLATE "C" NOT NULL,
    depends_on TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (task_id, depends_on)
);

CREATE INDEX board_dependencies_by_need ON board_dependencies (depends_on);

-- Folds of runs, so that reading the past need not begin with the first event. Disposable, and never the only source.
CREATE TABLE snapshots (
    run_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    position BIGINT NOT NULL,
    latest TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    format TEXT COLLATE "C" NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (run_id, version)
);
