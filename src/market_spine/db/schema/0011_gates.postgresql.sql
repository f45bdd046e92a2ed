-- Gates: what keeps a capture from becoming current, what they measured, and who overruled them.

-- Set while a gate or an operator keeps the capture from becoming current; the reason is in finra_otc_transparency_hold.
ALTER TABLE finra_otc_transparency_capture ADD COLUMN held_at TEXT;

-- Every hold of a content, and its release, so that a past day can be seen as it was. has_rows is 0 where the capture kept the rows
-- of other content of the same day, which stay current: then only the bytes of this one are stored.
CREATE TABLE finra_otc_transparency_hold (
    capture_id TEXT NOT NULL,
    ingest_no INTEGER NOT NULL,
    held_at TEXT NOT NULL,
    week_ending TEXT NOT NULL,
    tier TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    gate TEXT NOT NULL,
    reason TEXT NOT NULL,
    held_by TEXT NOT NULL,
    has_rows INTEGER NOT NULL,
    released_at TEXT,
    released_by TEXT,
    released_reason TEXT,
    PRIMARY KEY (capture_id, ingest_no, held_at)
);
CREATE INDEX finra_otc_transparency_hold_week ON finra_otc_transparency_hold (week_ending, tier);

-- What the gates looked at: the figures of a content, which are the history of later weeks. They outlive a prune, so that every
-- verdict can be computed again. past_json: the contents, limits and decisions that this one was judged by.
CREATE TABLE finra_otc_transparency_figures (
    capture_id TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    week_ending TEXT NOT NULL,
    tier TEXT NOT NULL,
    profile_id TEXT NOT NULL,
    figures_json TEXT NOT NULL,
    shape_json TEXT NOT NULL,
    past_json TEXT NOT NULL,
    judged_at TEXT NOT NULL,
    PRIMARY KEY (capture_id, content_hash)
);

-- The verdict of every gate on a content: what it measured (y), what it expected, between what limits, how unusual that is (z, and
-- p: the share of the n earlier weeks that were as unusual), and the sentence that a person reads.
CREATE TABLE core_checks (
    domain TEXT NOT NULL,
    capture_id TEXT NOT NULL,
    ingest_no INTEGER NOT NULL,
    position INTEGER NOT NULL,
    gate TEXT NOT NULL,
    kind TEXT NOT NULL,
    profile_id TEXT NOT NULL,
    regime TEXT NOT NULL,
    y DOUBLE PRECISION,
    expected DOUBLE PRECISION,
    low DOUBLE PRECISION,
    high DOUBLE PRECISION,
    z DOUBLE PRECISION,
    p DOUBLE PRECISION,
    n INTEGER,
    verdict TEXT NOT NULL CHECK (verdict IN ('PASS', 'INFO', 'WARN', 'HOLD', 'REFUSE')),
    explanation TEXT NOT NULL,
    PRIMARY KEY (domain, capture_id, ingest_no, position)
);

-- The thresholds of the learnt gates. Rows are only added; the newest of a domain is in force, and a verdict names the one it used.
CREATE TABLE core_gate_profiles (
    profile_id TEXT PRIMARY KEY,
    domain TEXT NOT NULL,
    fitted_at TEXT NOT NULL,
    source TEXT NOT NULL,
    thresholds_json TEXT NOT NULL
);

-- From this week on the past of a tier is no longer what its weeks are compared with: an operator accepted a new level.
CREATE TABLE core_gate_levels (
    domain TEXT NOT NULL,
    tier TEXT NOT NULL,
    since_week TEXT NOT NULL,
    accepted_at TEXT NOT NULL,
    accepted_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (domain, tier, since_week)
);

-- The current capture of a partition: the newest that is normalized, and neither withdrawn nor held.
CREATE OR REPLACE VIEW finra_otc_transparency_current AS
SELECT c.capture_key, c.capture_id, c.week_ending, c.tier, c.run_date, c.captured_at, c.content_hash, c.row_count, c.total_shares
FROM finra_otc_transparency_capture c
WHERE c.normalized_at IS NOT NULL AND c.withdrawn_at IS NULL AND c.held_at IS NULL
  AND NOT EXISTS (
    SELECT 1 FROM finra_otc_transparency_capture newer
    WHERE newer.week_ending = c.week_ending AND newer.tier = c.tier AND newer.run_date > c.run_date
      AND newer.normalized_at IS NOT NULL AND newer.withdrawn_at IS NULL AND newer.held_at IS NULL);
