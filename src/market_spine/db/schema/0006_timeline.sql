-- What must be kept so that no week is forgotten and no past day is rewritten.

-- The first week each tier was ever asked for or captured: from there on every partition that is due and not complete is open.
CREATE TABLE core_coverage (
    domain TEXT NOT NULL,
    tier TEXT NOT NULL,
    first_week TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (domain, tier)
);
INSERT INTO core_coverage (domain, tier, first_week, updated_at)
SELECT 'finra.otc_transparency', tier, MIN(week_ending), MAX(captured_at) FROM finra_otc_transparency_capture GROUP BY tier;

-- When a source's whole content of a partition was last compared with what is stored. `fingerprint` is what the source said
-- of it cheaply (a file's name, size and time of change; the API's newest date and row count); content_hash is empty for a
-- file that was seen and, lying before the first week asked for, left alone.
CREATE TABLE core_source_checks (
    domain TEXT NOT NULL,
    source TEXT NOT NULL,
    week_ending TEXT NOT NULL,
    tier TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    content_hash TEXT,
    checked_at TEXT NOT NULL,
    PRIMARY KEY (domain, source, week_ending, tier)
);

-- Every content a source showed for a capture. A replay on the same day has the same capture_id and the next ingest_no; the
-- capture's own content_hash is that of the rows it holds, so a content that was refused never lends it its name.
CREATE TABLE finra_otc_transparency_version (
    capture_id TEXT NOT NULL,
    ingest_no INTEGER NOT NULL,
    content_hash TEXT NOT NULL,
    observed_at TEXT NOT NULL,
    row_count INTEGER NOT NULL,
    metadata_json TEXT NOT NULL,
    PRIMARY KEY (capture_id, ingest_no)
);
CREATE INDEX finra_otc_transparency_version_content ON finra_otc_transparency_version (content_hash);
INSERT INTO finra_otc_transparency_version (capture_id, ingest_no, content_hash, observed_at, row_count, metadata_json)
SELECT c.capture_id, CAST(json_extract(m.metadata_json, '$.ingest_no') AS INTEGER), json_extract(m.metadata_json, '$.sha256'),
       c.captured_at, COALESCE(m.row_count, 0), m.metadata_json
FROM finra_otc_transparency_capture c
JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = 'RAW';

-- Where a replay was refused, the capture had the refused content's name and the rows of the one before: it gets its own back.
INSERT INTO finra_otc_transparency_version (capture_id, ingest_no, content_hash, observed_at, row_count, metadata_json)
SELECT c.capture_id, CAST(json_extract(m.metadata_json, '$.ingest_no') AS INTEGER), json_extract(m.metadata_json, '$.sha256'),
       c.captured_at, COALESCE(m.row_count, 0), m.metadata_json
FROM finra_otc_transparency_capture c
JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = 'NORMALIZED'
WHERE NOT EXISTS (
    SELECT 1 FROM finra_otc_transparency_version v
    WHERE v.capture_id = c.capture_id AND v.ingest_no = CAST(json_extract(m.metadata_json, '$.ingest_no') AS INTEGER));
UPDATE finra_otc_transparency_capture SET content_hash = (
    SELECT json_extract(m.metadata_json, '$.sha256') FROM core_manifest m
    WHERE m.capture_id = finra_otc_transparency_capture.capture_id AND m.stage = 'NORMALIZED')
WHERE EXISTS (
    SELECT 1 FROM core_manifest m
    WHERE m.capture_id = finra_otc_transparency_capture.capture_id AND m.stage = 'NORMALIZED'
      AND json_extract(m.metadata_json, '$.sha256') <> finra_otc_transparency_capture.content_hash);

-- Which content was taken back: offered again it stays withdrawn until an operator says otherwise.
ALTER TABLE finra_otc_transparency_withdrawal ADD COLUMN content_hash TEXT;
UPDATE finra_otc_transparency_withdrawal SET content_hash = (
    SELECT c.content_hash FROM finra_otc_transparency_capture c
    WHERE c.capture_id = finra_otc_transparency_withdrawal.capture_id);

-- When a pruned capture was measured: before that day its measures were not to be seen. Of older tombstones it is not known.
ALTER TABLE core_tombstones ADD COLUMN measured_at TEXT;
UPDATE core_tombstones SET measured_at = normalized_at;

-- The stage a work item waits for (RAW, NORMALIZED, CALC); empty while it waits for nothing.
ALTER TABLE core_work_items ADD COLUMN waits_for TEXT;
CREATE INDEX core_work_items_waiting ON core_work_items (waits_for) WHERE waits_for IS NOT NULL;
UPDATE core_work_items SET waits_for = CASE
    WHEN last_error LIKE 'waits: prerequisite missing: RAW %' THEN 'RAW'
    WHEN last_error LIKE 'waits: prerequisite missing: NORMALIZED %' THEN 'NORMALIZED'
    WHEN last_error LIKE 'waits: prerequisite missing: CALC %' THEN 'CALC' END
WHERE state = 'RETRY_WAIT';

-- Which content each stage was made from, beside its key: whether a stage is behind anywhere is asked by every weekly run, and
-- answered from this index without reading (or parsing) a row.
DROP INDEX core_manifest_capture;
CREATE INDEX core_manifest_capture ON core_manifest (capture_id, stage, json_extract(metadata_json, '$.ingest_no'));

-- The workers that live: written by their heartbeats, taken back when they end. `outages` counts the absences of the database
-- that each has lived through.
CREATE TABLE core_workers (
    worker TEXT NOT NULL PRIMARY KEY,
    started_at TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    outages INTEGER NOT NULL
);

-- Millionths alone overflow 64 bits beyond nine trillion shares: there SQLite failed and PostgreSQL refused the cast.
DROP VIEW finra_otc_transparency_symbol_venue_share;
DROP VIEW finra_otc_transparency_symbol_venue_share_latest;

-- A venue's share of each symbol: a view over the facts, dense, never stored. Whole shares and millionths
-- are summed apart, exactly.
CREATE VIEW finra_otc_transparency_symbol_venue_share AS
SELECT c.capture_id, c.week_ending, c.tier, i.symbol, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       f.total_shares,
       (1000000 * CAST(ROUND(f.total_shares) AS DOUBLE PRECISION)
           + CAST(ROUND((f.total_shares - ROUND(f.total_shares)) * 1000000) AS DOUBLE PRECISION))
       / NULLIF(1000000 * CAST(SUM(CAST(ROUND(f.total_shares) AS BIGINT)) OVER symbols AS DOUBLE PRECISION)
           + CAST(SUM(CAST(ROUND((f.total_shares - ROUND(f.total_shares)) * 1000000) AS BIGINT)) OVER symbols
                  AS DOUBLE PRECISION), 0) AS share, c.captured_at
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_volume f ON f.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = f.issue_id
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id
WINDOW symbols AS (PARTITION BY c.capture_id, i.symbol);

CREATE VIEW finra_otc_transparency_symbol_venue_share_latest AS
SELECT c.capture_id, c.week_ending, c.tier, i.symbol, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       f.total_shares,
       (1000000 * CAST(ROUND(f.total_shares) AS DOUBLE PRECISION)
           + CAST(ROUND((f.total_shares - ROUND(f.total_shares)) * 1000000) AS DOUBLE PRECISION))
       / NULLIF(1000000 * CAST(SUM(CAST(ROUND(f.total_shares) AS BIGINT)) OVER symbols AS DOUBLE PRECISION)
           + CAST(SUM(CAST(ROUND((f.total_shares - ROUND(f.total_shares)) * 1000000) AS BIGINT)) OVER symbols
                  AS DOUBLE PRECISION), 0) AS share, c.captured_at
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_volume f ON f.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = f.issue_id
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id
WINDOW symbols AS (PARTITION BY c.capture_id, i.symbol);
