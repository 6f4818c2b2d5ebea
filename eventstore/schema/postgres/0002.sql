-- When each blob was put last, as RFC 3339: one that nothing refers to yet may be about to be needed.
ALTER TABLE blobs ADD COLUMN kept_at TEXT COLLATE "C" NOT NULL DEFAULT '';
