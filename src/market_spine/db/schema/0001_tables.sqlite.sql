-- The core tables (any domain) and FINRA's tables, for SQLite.
-- Times are ISO 8601 text in UTC, dates are YYYY-MM-DD text, flags are 0 or 1; the program passes every time as an argument.

CREATE TABLE core_manifest (
    id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    stage TEXT NOT NULL,
    stage_rank INTEGER NOT NULL DEFAULT 0,
    partition_key TEXT NOT NULL,
    capture_id TEXT,
    row_count INTEGER,
    metadata_json TEXT,
    captured_at TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT,
    UNIQUE (domain, stage, partition_key, capture_id)
);
CREATE INDEX core_manifest_week ON core_manifest (json_extract(partition_key, '$.week_ending'), stage);
CREATE INDEX core_manifest_capture ON core_manifest (capture_id, stage);

-- A fault that lasts is one row: last_seen_at and seen_count move, id stays.
CREATE TABLE core_anomalies (
    id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    pipeline TEXT,
    partition_key TEXT,
    stage TEXT,
    severity TEXT NOT NULL CHECK (severity IN ('INFO', 'WARN', 'ERROR', 'CRITICAL')),
    category TEXT NOT NULL,
    message TEXT NOT NULL,
    details_json TEXT,
    affected_records INTEGER,
    execution_id TEXT,
    capture_id TEXT,
    detected_at TEXT NOT NULL,
    last_seen_at TEXT,
    seen_count INTEGER NOT NULL DEFAULT 1,
    acknowledged_until TEXT,
    acknowledged_by TEXT,
    acknowledged_reason TEXT,
    resolved_at TEXT,
    resolution_note TEXT,
    created_at TEXT NOT NULL
);
CREATE INDEX core_anomalies_week ON core_anomalies (json_extract(partition_key, '$.week_ending'));
CREATE INDEX core_anomalies_open ON core_anomalies (severity) WHERE resolved_at IS NULL;

CREATE TABLE core_data_readiness (
    id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    is_ready INTEGER NOT NULL DEFAULT 0,
    ready_for TEXT NOT NULL,
    all_partitions_present INTEGER NOT NULL DEFAULT 0,
    all_stages_complete INTEGER NOT NULL DEFAULT 0,
    no_critical_anomalies INTEGER NOT NULL DEFAULT 0,
    blocking_issues TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (domain, partition_key, ready_for)
);

-- One row a run. exit_code is empty while it runs, and for ever when it was killed.
CREATE TABLE core_executions (
    execution_id TEXT PRIMARY KEY,
    pipeline TEXT NOT NULL,
    run_date TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    version TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    actor TEXT,
    arguments_json TEXT NOT NULL,
    outcomes_json TEXT,
    exit_code INTEGER,
    error TEXT
);
CREATE INDEX core_executions_started ON core_executions (started_at);

-- Who is running. A heartbeat older than the lease means that the owner is dead and the lock may be taken over; machine (a
-- boot and a PID namespace) and started tell whether that very process still lives.
CREATE TABLE core_locks (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    host TEXT NOT NULL,
    machine TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started TEXT NOT NULL,
    since TEXT NOT NULL,
    heartbeat_at TEXT NOT NULL,
    lease_seconds REAL NOT NULL
);

CREATE TABLE core_rejects (
    id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    capture_id TEXT NOT NULL,
    line_number INTEGER NOT NULL,
    reason TEXT NOT NULL,
    line TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX core_rejects_capture ON core_rejects (capture_id, line_number);

CREATE TABLE core_work_items (
    id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    params_json TEXT NOT NULL DEFAULT '{}',
    desired_at TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'PENDING'
        CHECK (state IN ('PENDING', 'RUNNING', 'COMPLETE', 'RETRY_WAIT', 'FAILED', 'CANCELLED')),
    attempt_count INTEGER NOT NULL DEFAULT 0 CHECK (attempt_count >= 0),
    max_attempts INTEGER NOT NULL DEFAULT 3 CHECK (max_attempts >= 1),
    last_error TEXT,
    last_error_at TEXT,
    next_attempt_at TEXT,
    current_execution_id TEXT,
    latest_execution_id TEXT,
    locked_by TEXT,
    locked_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    completed_at TEXT,
    UNIQUE (domain, pipeline, partition_key),
    CHECK ((state = 'RUNNING') = (current_execution_id IS NOT NULL)),
    CHECK ((state = 'RUNNING') = (locked_by IS NOT NULL AND locked_at IS NOT NULL)),
    CHECK ((state = 'RETRY_WAIT') = (next_attempt_at IS NOT NULL)),
    CHECK (state <> 'COMPLETE' OR completed_at IS NOT NULL)
);
CREATE INDEX core_work_items_due ON core_work_items (state, priority DESC, desired_at, id);

-- What an operator changed, and why.
CREATE TABLE core_operator_actions (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    reason TEXT,
    details_json TEXT
);

-- What stays of a capture that was pruned: enough to tell on which past days it was the current one.
CREATE TABLE core_tombstones (
    capture_id TEXT PRIMARY KEY,
    domain TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    row_count INTEGER,
    captured_at TEXT NOT NULL,
    capture_key INTEGER NOT NULL,
    run_date TEXT NOT NULL,
    total_shares NUMERIC,
    normalized_at TEXT,
    pruned_at TEXT NOT NULL,
    pruned_by TEXT NOT NULL,
    rule TEXT NOT NULL,
    reason TEXT NOT NULL
);

-- The exact bytes a source gave, once per content, addressed by their SHA-256 (64 hex).
CREATE TABLE finra_otc_transparency_raw (
    content_hash TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    codec TEXT NOT NULL CHECK (codec IN ('zstd', 'none')),
    content BLOB NOT NULL
);

-- A partition as its source showed it on one run date. row_count and normalized_at are set when its rows are in. A key is
-- never given out again: week-level results outlive the captures they were made from.
CREATE TABLE finra_otc_transparency_capture (
    capture_key INTEGER PRIMARY KEY AUTOINCREMENT,
    capture_id TEXT NOT NULL UNIQUE,
    week_ending TEXT NOT NULL,
    tier TEXT NOT NULL CHECK (tier IN ('NMS_TIER_1', 'NMS_TIER_2', 'OTC')),
    run_date TEXT NOT NULL,
    captured_at TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    source_uri TEXT NOT NULL,
    source_last_updated TEXT,
    row_count INTEGER,
    total_shares NUMERIC,
    normalized_at TEXT,
    withdrawn_at TEXT,
    withdrawn_by TEXT,
    withdrawn_reason TEXT,
    pinned_as TEXT,
    pinned_at TEXT,
    UNIQUE (week_ending, tier, run_date)
);

-- Every withdrawal ever made, so that a past day can be seen as it was.
CREATE TABLE finra_otc_transparency_withdrawal (
    id INTEGER PRIMARY KEY,
    capture_id TEXT NOT NULL,
    withdrawn_at TEXT NOT NULL,
    withdrawn_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    undone_at TEXT,
    undone_by TEXT
);
CREATE INDEX finra_otc_transparency_withdrawal_capture ON finra_otc_transparency_withdrawal (capture_id);

-- A security as FINRA names it. Case is identity: lower-case suffixes are other securities. Blank is ''.
CREATE TABLE finra_otc_transparency_issue (
    issue_id INTEGER PRIMARY KEY,
    symbol TEXT NOT NULL,
    issue_name TEXT NOT NULL,
    product_type TEXT NOT NULL,
    UNIQUE (symbol, issue_name, product_type)
);

-- An ATS (by MPID) or a non-ATS firm (by CRD number; 'De Minimis Firms' has neither). Blank is '' and 0.
CREATE TABLE finra_otc_transparency_venue (
    venue_id INTEGER PRIMARY KEY,
    venue_class TEXT NOT NULL CHECK (venue_class IN ('ATS', 'OTC')),
    mpid TEXT NOT NULL,
    firm_crd INTEGER NOT NULL,
    venue_name TEXT NOT NULL,
    UNIQUE (venue_class, mpid, firm_crd, venue_name)
);

-- The facts. A whole number of shares is stored as an integer, a fractional one (since 2026-02-23) as it is.
CREATE TABLE finra_otc_transparency_volume (
    capture_key INTEGER NOT NULL,
    issue_id INTEGER NOT NULL,
    venue_id INTEGER NOT NULL,
    total_shares NUMERIC NOT NULL,
    total_trades INTEGER NOT NULL,
    total_notional REAL,
    PRIMARY KEY (capture_key, issue_id, venue_id)
) WITHOUT ROWID;

-- The measures of a tier: per venue, per symbol (by any one issue_id of it), and in all.
CREATE TABLE finra_otc_transparency_venue_measure (
    capture_key INTEGER NOT NULL,
    venue_id INTEGER NOT NULL,
    total_shares NUMERIC NOT NULL,
    total_trades INTEGER NOT NULL,
    total_notional REAL,
    symbol_count INTEGER NOT NULL,
    share REAL,
    rank INTEGER NOT NULL,
    PRIMARY KEY (capture_key, venue_id)
) WITHOUT ROWID;

CREATE TABLE finra_otc_transparency_symbol_measure (
    capture_key INTEGER NOT NULL,
    issue_id INTEGER NOT NULL,
    total_shares NUMERIC NOT NULL,
    ats_shares NUMERIC NOT NULL,
    total_trades INTEGER NOT NULL,
    total_notional REAL,
    venue_count INTEGER NOT NULL,
    hhi REAL,
    PRIMARY KEY (capture_key, issue_id)
) WITHOUT ROWID;

CREATE TABLE finra_otc_transparency_tier_measure (
    capture_key INTEGER PRIMARY KEY,
    total_shares NUMERIC NOT NULL,
    ats_shares NUMERIC NOT NULL,
    total_trades INTEGER NOT NULL,
    total_notional REAL,
    symbol_count INTEGER NOT NULL,
    venue_count INTEGER NOT NULL,
    hhi REAL
);

-- The measures of a week, made from one capture of each tier; kept for every combination there was.
CREATE TABLE finra_otc_transparency_week (
    week_key INTEGER PRIMARY KEY,
    capture_id TEXT NOT NULL UNIQUE,
    week_ending TEXT NOT NULL,
    run_date TEXT NOT NULL,
    captured_at TEXT NOT NULL,
    nms_tier_1_key INTEGER NOT NULL,
    nms_tier_2_key INTEGER NOT NULL,
    otc_key INTEGER NOT NULL,
    total_shares NUMERIC NOT NULL,
    ats_shares NUMERIC NOT NULL,
    total_trades INTEGER NOT NULL,
    total_notional REAL,
    symbol_count INTEGER NOT NULL,
    venue_count INTEGER NOT NULL,
    UNIQUE (week_ending, run_date)
);

CREATE TABLE finra_otc_transparency_week_tier (
    week_key INTEGER NOT NULL,
    tier TEXT NOT NULL,
    total_shares NUMERIC NOT NULL,
    total_trades INTEGER NOT NULL,
    total_notional REAL,
    share REAL,
    PRIMARY KEY (week_key, tier)
) WITHOUT ROWID;
