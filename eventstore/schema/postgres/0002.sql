-- When each blob was put last, as RFC 3339: one that nothing refers to yet may be about to be needed.
ALTER TABLE blobs ADD COLUMN kept_at TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Left to guess a thousand rows, the planner reads whole tables for the few that are asked for: 10 ms for 20,000 events.
ALTER FUNCTION json_each(TEXT) ROWS 1;
