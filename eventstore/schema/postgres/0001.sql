-- The log's tables. See docs/FORMAT.md for every column.

-- Each value that is taken stays taken, whatever becomes of the transaction. No cache: readers go by the last value.
CREATE SEQUENCE workflow_positions AS BIGINT CACHE 1;

CREATE TABLE workflow_events (
    position BIGINT NOT NULL PRIMARY KEY,
    run_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    event_type TEXT COLLATE "C" NOT NULL,
    timestamp TEXT COLLATE "C" NOT NULL,
    payload BYTEA NOT NULL,
    event_id BYTEA NOT NULL,
    event_schema BIGINT NOT NULL,
    recorded_at TEXT COLLATE "C" NOT NULL,
    meta TEXT COLLATE "C" NOT NULL,
    content_type TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL,
    checksum BIGINT NOT NULL,
    commit_place BIGINT NOT NULL,
    commit_size BIGINT NOT NULL,
    projected BIGINT NOT NULL,
    UNIQUE (run_id, sequence),
    UNIQUE (event_id)
);

CREATE INDEX workflow_events_unprojected ON workflow_events (position) WHERE projected = 0;

CREATE TABLE checkpoints (name TEXT COLLATE "C" NOT NULL PRIMARY KEY, position BIGINT NOT NULL);

CREATE TABLE blobs (digest TEXT COLLATE "C" NOT NULL PRIMARY KEY, data BYTEA NOT NULL);

-- The streams that the transaction at work is purging.
CREATE TABLE purging (run_id TEXT COLLATE "C" NOT NULL PRIMARY KEY);

-- What SQLite brings along: the elements of a JSON array of texts.
CREATE FUNCTION json_each(elements TEXT) RETURNS TABLE (value TEXT) LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT pg_catalog.jsonb_array_elements_text(elements::pg_catalog.jsonb) $$;

CREATE FUNCTION refuse_change_of_events() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT 1 FROM purging WHERE run_id = OLD.run_id) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'events never change, and are removed by a purge only' USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER workflow_events_never_change BEFORE UPDATE OR DELETE ON workflow_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_events();

CREATE TRIGGER workflow_events_never_vanish BEFORE TRUNCATE ON workflow_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_events();
