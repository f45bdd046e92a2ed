-- A list of one pipeline's items reads what it shows, however many have ended.
CREATE INDEX core_work_items_pipeline ON core_work_items (state, pipeline, priority DESC, desired_at, id);

-- Every item leaves an execution. The runs and commands, which are few, are found without them; so is the newest day.
CREATE INDEX core_executions_runs ON core_executions (started_at)
    WHERE json_extract(arguments_json, '$.work_item') IS NULL;
CREATE INDEX core_executions_day ON core_executions (run_date);
