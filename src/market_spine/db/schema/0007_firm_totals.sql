-- What FINRA publishes of each firm beside the symbol rows: since December 2019 those hide small volumes in one line.

-- Which stored document the firm totals of a content are in: one of their own, or the content itself where a file holds both.
-- Empty where the source had none, or was not asked.
ALTER TABLE finra_otc_transparency_version ADD COLUMN totals_hash TEXT;
-- A prune asks whether another content still has a document, as for the contents themselves.
CREATE INDEX finra_otc_transparency_version_totals ON finra_otc_transparency_version (totals_hash) WHERE totals_hash IS NOT NULL;

-- 'firm_total' where the totals fit the symbol rows to the last millionth, else 'symbol_rows'; captures of earlier releases have
-- no totals and stay empty.
ALTER TABLE finra_otc_transparency_capture ADD COLUMN basis TEXT CHECK (basis IN ('firm_total', 'symbol_rows'));

-- The totals of a capture as FINRA gave them, whether they fit its rows or not; share and rank among these totals.
CREATE TABLE finra_otc_transparency_firm_total (
    capture_key BIGINT NOT NULL,
    venue_id BIGINT NOT NULL,
    total_shares NUMERIC NOT NULL,
    total_trades BIGINT NOT NULL,
    total_notional DOUBLE PRECISION,
    share DOUBLE PRECISION,
    rank BIGINT NOT NULL,
    PRIMARY KEY (capture_key, venue_id)
);

-- Concentration with ATSs and other firms apart, the volume of unnamed firms, and the lower bound of a symbol's HHI. Empty for
-- what was measured by an earlier release, until it is rebuilt.
ALTER TABLE finra_otc_transparency_tier_measure ADD COLUMN ats_hhi DOUBLE PRECISION;
ALTER TABLE finra_otc_transparency_tier_measure ADD COLUMN non_ats_hhi DOUBLE PRECISION;
ALTER TABLE finra_otc_transparency_tier_measure ADD COLUMN hidden_shares NUMERIC;
ALTER TABLE finra_otc_transparency_symbol_measure ADD COLUMN hhi_low DOUBLE PRECISION;

DROP VIEW finra_otc_transparency_venue_share;
DROP VIEW finra_otc_transparency_venue_share_latest;
DROP VIEW finra_otc_transparency_hhi;
DROP VIEW finra_otc_transparency_hhi_latest;

-- The venues of a tier: its named venues and the line of unnamed firms, or, where firm totals fit, every firm by its total.
CREATE VIEW finra_otc_transparency_venue_share AS
SELECT c.capture_id, c.week_ending, c.tier, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       m.total_shares, m.share, m.rank, c.captured_at, 'symbol_rows' AS basis
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_venue_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_venue v ON v.venue_id = m.venue_id
WHERE COALESCE(c.basis, 'symbol_rows') = 'symbol_rows'
UNION ALL
SELECT c.capture_id, c.week_ending, c.tier, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       f.total_shares, f.share, f.rank, c.captured_at, 'firm_total' AS basis
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_tier_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_firm_total f ON f.capture_key = c.capture_key
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id
WHERE c.basis = 'firm_total';

CREATE VIEW finra_otc_transparency_venue_share_latest AS
SELECT c.capture_id, c.week_ending, c.tier, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       m.total_shares, m.share, m.rank, c.captured_at, 'symbol_rows' AS basis
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_capture k ON k.capture_key = c.capture_key
JOIN finra_otc_transparency_venue_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_venue v ON v.venue_id = m.venue_id
WHERE COALESCE(k.basis, 'symbol_rows') = 'symbol_rows'
UNION ALL
SELECT c.capture_id, c.week_ending, c.tier, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       f.total_shares, f.share, f.rank, c.captured_at, 'firm_total' AS basis
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_capture k ON k.capture_key = c.capture_key
JOIN finra_otc_transparency_tier_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_firm_total f ON f.capture_key = c.capture_key
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id
WHERE k.basis = 'firm_total';

-- HHI, 0…1: one row for the tier (scope 'TIER', symbol '') and one for each symbol. Unnamed firms count as one venue, which for a
-- symbol gives the upper bound; of a tier that bounds nothing, and there is a figure only where firm totals fit.
CREATE VIEW finra_otc_transparency_hhi AS
SELECT c.capture_id, c.week_ending, c.tier, 'TIER' AS scope, '' AS symbol, m.hhi, m.venue_count, m.total_shares, c.captured_at,
       COALESCE(c.basis, 'symbol_rows') AS basis, CASE WHEN c.basis = 'firm_total' THEN m.hhi END AS hhi_low,
       CASE WHEN c.basis = 'firm_total' THEN m.hhi END AS hhi_high
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_tier_measure m ON m.capture_key = c.capture_key
UNION ALL
SELECT c.capture_id, c.week_ending, c.tier, 'SYMBOL' AS scope, i.symbol, m.hhi, m.venue_count, m.total_shares, c.captured_at,
       COALESCE(c.basis, 'symbol_rows') AS basis, m.hhi_low, CASE WHEN m.hhi_low IS NOT NULL THEN m.hhi END AS hhi_high
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_symbol_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = m.issue_id;

CREATE VIEW finra_otc_transparency_hhi_latest AS
SELECT c.capture_id, c.week_ending, c.tier, 'TIER' AS scope, '' AS symbol, m.hhi, m.venue_count, m.total_shares, c.captured_at,
       COALESCE(k.basis, 'symbol_rows') AS basis, CASE WHEN k.basis = 'firm_total' THEN m.hhi END AS hhi_low,
       CASE WHEN k.basis = 'firm_total' THEN m.hhi END AS hhi_high
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_capture k ON k.capture_key = c.capture_key
JOIN finra_otc_transparency_tier_measure m ON m.capture_key = c.capture_key
UNION ALL
SELECT c.capture_id, c.week_ending, c.tier, 'SYMBOL' AS scope, i.symbol, m.hhi, m.venue_count, m.total_shares, c.captured_at,
       COALESCE(k.basis, 'symbol_rows') AS basis, m.hhi_low, CASE WHEN m.hhi_low IS NOT NULL THEN m.hhi END AS hhi_high
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_capture k ON k.capture_key = c.capture_key
JOIN finra_otc_transparency_symbol_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = m.issue_id;

-- How concentrated a tier is, in one row.
CREATE VIEW finra_otc_transparency_concentration AS
SELECT c.capture_id, c.week_ending, c.tier, m.total_shares,
       CAST(m.ats_shares AS DOUBLE PRECISION) / NULLIF(CAST(m.total_shares AS DOUBLE PRECISION), 0) AS ats_fraction,
       m.hhi, m.ats_hhi, m.non_ats_hhi, 1 / NULLIF(m.hhi, 0) AS effective_venues,
       CAST(m.total_shares AS DOUBLE PRECISION) / NULLIF(CAST(m.total_trades AS DOUBLE PRECISION), 0) AS average_trade_size,
       m.hidden_shares, m.venue_count, c.captured_at, COALESCE(c.basis, 'symbol_rows') AS basis
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_tier_measure m ON m.capture_key = c.capture_key;

CREATE VIEW finra_otc_transparency_concentration_latest AS
SELECT c.capture_id, c.week_ending, c.tier, m.total_shares,
       CAST(m.ats_shares AS DOUBLE PRECISION) / NULLIF(CAST(m.total_shares AS DOUBLE PRECISION), 0) AS ats_fraction,
       m.hhi, m.ats_hhi, m.non_ats_hhi, 1 / NULLIF(m.hhi, 0) AS effective_venues,
       CAST(m.total_shares AS DOUBLE PRECISION) / NULLIF(CAST(m.total_trades AS DOUBLE PRECISION), 0) AS average_trade_size,
       m.hidden_shares, m.venue_count, c.captured_at, COALESCE(k.basis, 'symbol_rows') AS basis
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_capture k ON k.capture_key = c.capture_key
JOIN finra_otc_transparency_tier_measure m ON m.capture_key = c.capture_key;
