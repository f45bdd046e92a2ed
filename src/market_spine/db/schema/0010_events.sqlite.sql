-- Every change of state, as a line of canonical JSON, in the order of the commits. core_events is never changed or shortened:
-- the triggers guard against accidents, not against who owns the file; `spine audit verify --against` finds those.
CREATE TABLE core_events (
    seq INTEGER PRIMARY KEY,
    line TEXT NOT NULL,
    leaf BLOB NOT NULL
);
CREATE INDEX core_events_subject ON core_events (json_extract(line, '$.subject'), seq);
CREATE INDEX core_events_kind ON core_events (json_extract(line, '$.kind'), seq);

-- How far the log goes, made by the first event. Its one row is updated in the transaction of the events: its lock makes seq
-- gapless and in the order of the commits.
CREATE TABLE core_event_head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    size INTEGER NOT NULL,
    last_leaf TEXT NOT NULL,
    frontier TEXT NOT NULL
);

CREATE TRIGGER core_events_never_changed BEFORE UPDATE ON core_events BEGIN
    SELECT RAISE(ABORT, 'core_events is append-only');
END;
CREATE TRIGGER core_events_never_removed BEFORE DELETE ON core_events BEGIN
    SELECT RAISE(ABORT, 'core_events is append-only');
END;
