-- A worker looks for waiting items that are due before each claim, and people list what changed last: neither reads what has ended.
CREATE INDEX core_work_items_retry ON core_work_items (next_attempt_at) WHERE state = 'RETRY_WAIT';
CREATE INDEX core_work_items_changed ON core_work_items (state, updated_at DESC);
CREATE INDEX core_work_items_week ON core_work_items (json_extract(partition_key, '$.week_ending'));
