-- Workers claim items from core_work_items itself. The tables of the delivery engine, which held nothing else, go; they are dropped only
-- where they are ours, as another program may use the same engine in this schema.
DO $$
DECLARE it record;
BEGIN
    IF to_regclass(current_schema() || '.procrastinate_installed') IS NULL THEN RETURN; END IF;
    FOR it IN SELECT c.oid::regclass AS name FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
        AND c.relkind = 'r' AND c.relname LIKE 'procrastinate\_%' LOOP EXECUTE format('DROP TABLE %s CASCADE', it.name);
    END LOOP;
    FOR it IN SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace
        AND p.proname LIKE 'procrastinate\_%' LOOP EXECUTE format('DROP FUNCTION %s CASCADE', it.name);
    END LOOP;
    FOR it IN SELECT t.oid::regtype AS name FROM pg_type t WHERE t.typnamespace = current_schema()::regnamespace
        AND t.typname LIKE 'procrastinate\_%' AND t.typtype IN ('e', 'c') LOOP EXECUTE format('DROP TYPE %s CASCADE', it.name);
    END LOOP;
END;
$$;

-- A worker looks for waiting items that are due before each claim, and people list what changed last: neither reads what has ended.
CREATE INDEX core_work_items_retry ON core_work_items (next_attempt_at) WHERE state = 'RETRY_WAIT';
CREATE INDEX core_work_items_changed ON core_work_items (state, updated_at DESC);
CREATE INDEX core_work_items_week ON core_work_items (json_extract(partition_key, '$.week_ending'));
