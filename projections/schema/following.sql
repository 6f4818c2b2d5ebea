-- What views that follow their log keep for themselves, in their own SQLite file, beside the read side's tables.

CREATE TABLE checkpoints (
    name TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL,
    hash TEXT NOT NULL
);

CREATE TABLE run_files (
    run_id TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL
);
