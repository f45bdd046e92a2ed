-- Which HTTP responses a stored content was made from: RAW of an API is a canonical document, so what its server really sent is known
-- by these alone. A row is a response: its body's SHA-256 and size after content encoding, its headers, FINRA's clock (its Date header)
-- and ours. is_kept is 1 where the body itself is in RAW under that SHA-256 (--keep-wire). Contents ingested before have no rows.
CREATE TABLE finra_otc_transparency_response (
    capture_id TEXT NOT NULL,
    ingest_no INTEGER NOT NULL,
    page_no INTEGER NOT NULL,
    content_sha256 TEXT NOT NULL,
    http_status INTEGER NOT NULL,
    request_id TEXT,
    record_total INTEGER,
    record_offset INTEGER,
    finra_date TEXT,
    received_at TEXT NOT NULL,
    size INTEGER NOT NULL,
    is_kept INTEGER NOT NULL,
    PRIMARY KEY (capture_id, ingest_no, page_no)
);
-- A kept body is looked up by its hash when something that may share it is pruned; most are not kept and need no entry.
CREATE INDEX finra_otc_transparency_response_kept ON finra_otc_transparency_response (content_sha256) WHERE is_kept = 1;

-- comment on finra_otc_transparency_raw: The content of sources, once each, addressed by its SHA-256 (64 hex): the exact bytes of a
-- file; of an API the canonical document of its rows, and its responses after content encoding where these are kept (--keep-wire).

-- Who needs a stored content: prune removes from RAW what no other capture names here, verify looks here for what is lost.
CREATE VIEW finra_otc_transparency_content AS
SELECT v.capture_id, v.ingest_no, v.content_hash FROM finra_otc_transparency_version v
UNION ALL
SELECT v.capture_id, v.ingest_no, v.totals_hash FROM finra_otc_transparency_version v WHERE v.totals_hash IS NOT NULL
UNION ALL
SELECT r.capture_id, r.ingest_no, r.content_sha256 FROM finra_otc_transparency_response r WHERE r.is_kept = 1;
