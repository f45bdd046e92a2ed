-- Through which day FINRA has been asked for revisions outside the window, tier by tier. The next sweep begins there.
CREATE TABLE core_sweeps (
    domain TEXT NOT NULL,
    tier TEXT NOT NULL,
    swept_through TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (domain, tier)
);
