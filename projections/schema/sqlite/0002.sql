-- Workflow definitions with their history, what runs are found by, where blobs are needed, and task boards.

ALTER TABLE workflow_runs ADD COLUMN write_once TEXT;

ALTER TABLE workflow_runs ADD COLUMN claimed_version INTEGER NOT NULL DEFAULT 0;

ALTER TABLE attempts ADD COLUMN digest TEXT;

ALTER TABLE task_runs ADD COLUMN always_run INTEGER NOT NULL DEFAULT 0;

ALTER TABLE task_runs ADD COLUMN waiting_since TEXT;

ALTER TABLE attempts ADD COLUMN decision TEXT;

ALTER TABLE attempts ADD COLUMN decided_by TEXT;

-- Of the few tasks that wait for something outside.
CREATE INDEX task_runs_waiting ON task_runs (position) WHERE waiting_since IS NOT NULL;

ALTER TABLE workflow_runs ADD COLUMN forked_from TEXT;

ALTER TABLE workflow_runs ADD COLUMN forked_version INTEGER;

ALTER TABLE workflow_runs ADD COLUMN inherits INTEGER NOT NULL DEFAULT 0;

ALTER TABLE attempts ADD COLUMN inherited INTEGER NOT NULL DEFAULT 0;

CREATE INDEX workflow_runs_by_creation ON workflow_runs (created_at);

CREATE INDEX workflow_runs_by_end ON workflow_runs (finished_at);

CREATE INDEX workflow_runs_by_parent ON workflow_runs (parent_run_id);

CREATE INDEX workflow_runs_by_definition ON workflow_runs (workflow_id);

CREATE INDEX workflow_runs_by_origin ON workflow_runs (forked_from);

CREATE TABLE run_metadata (
    run_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (run_id, digest)
) WITHOUT ROWID;

CREATE INDEX run_metadata_by_digest ON run_metadata (digest);

CREATE TABLE workflow_versions (
    workflow_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    hash TEXT NOT NULL DEFAULT '',
    definition TEXT,
    metadata TEXT,
    saved_at TEXT,
    PRIMARY KEY (workflow_id, version)
);

CREATE TABLE blob_references (
    stream TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (stream, digest)
) WITHOUT ROWID;

CREATE INDEX blob_references_by_digest ON blob_references (digest);

CREATE TABLE board_tasks (
    id TEXT NOT NULL PRIMARY KEY,
    title TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT 'ready',
    description TEXT NOT NULL DEFAULT '',
    acceptance_criteria TEXT NOT NULL DEFAULT '',
    tags TEXT,
    priority INTEGER NOT NULL DEFAULT 0,
    assignee TEXT,
    claim INTEGER NOT NULL DEFAULT 0,
    lease_until TEXT,
    reason TEXT,
    manual INTEGER NOT NULL DEFAULT 0,
    created_at TEXT,
    updated_at TEXT,
    deleted_at TEXT,
    position INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX board_tasks_by_age ON board_tasks (status, position);

CREATE INDEX board_tasks_by_priority ON board_tasks (status, priority DESC, position);

CREATE TABLE board_dependencies (
    task_id TEXT NOT NULL,
    depends_on TEXT NOT NULL,
    PRIMARY KEY (task_id, depends_on)
) WITHOUT ROWID;

CREATE INDEX board_dependencies_by_need ON board_dependencies (depends_on);

-- Folds of runs, so that reading the past need not begin with the first event. Disposable, and never the only source.
CREATE TABLE snapshots (
    run_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    position INTEGER NOT NULL,
    latest TEXT NOT NULL,
    hash TEXT NOT NULL,
    format TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run_id, version)
);
