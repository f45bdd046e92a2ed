-- What people query: text columns, one row per measure, under the names the runbooks use. Each has a `_latest` twin
-- that shows only the current capture of each partition. Both engines run this one text.

-- The current capture of a partition: the newest that is normalized and not withdrawn.
CREATE VIEW finra_otc_transparency_current AS
SELECT c.capture_key, c.capture_id, c.week_ending, c.tier, c.run_date, c.captured_at, c.content_hash, c.row_count, c.total_shares
FROM finra_otc_transparency_capture c
WHERE c.normalized_at IS NOT NULL AND c.withdrawn_at IS NULL
  AND NOT EXISTS (
    SELECT 1 FROM finra_otc_transparency_capture newer
    WHERE newer.week_ending = c.week_ending AND newer.tier = c.tier AND newer.run_date > c.run_date
      AND newer.normalized_at IS NOT NULL AND newer.withdrawn_at IS NULL);

CREATE VIEW finra_otc_transparency_normalized AS
SELECT c.capture_id, c.week_ending, c.tier, i.symbol, i.issue_name, i.product_type, v.venue_class, v.mpid,
       NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name, f.total_shares, f.total_trades, f.total_notional, c.captured_at
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_volume f ON f.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = f.issue_id
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id;

CREATE VIEW finra_otc_transparency_normalized_latest AS
SELECT c.capture_id, c.week_ending, c.tier, i.symbol, i.issue_name, i.product_type, v.venue_class, v.mpid,
       NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name, f.total_shares, f.total_trades, f.total_notional, c.captured_at
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_volume f ON f.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = f.issue_id
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id;

CREATE VIEW finra_otc_transparency_venue_volume AS
SELECT c.capture_id, c.week_ending, c.tier, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       m.total_shares, m.total_trades, m.total_notional, m.symbol_count, c.captured_at
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_venue_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_venue v ON v.venue_id = m.venue_id;

CREATE VIEW finra_otc_transparency_venue_volume_latest AS
SELECT c.capture_id, c.week_ending, c.tier, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       m.total_shares, m.total_trades, m.total_notional, m.symbol_count, c.captured_at
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_venue_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_venue v ON v.venue_id = m.venue_id;

CREATE VIEW finra_otc_transparency_venue_share AS
SELECT c.capture_id, c.week_ending, c.tier, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       m.total_shares, m.share, m.rank, c.captured_at
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_venue_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_venue v ON v.venue_id = m.venue_id;

CREATE VIEW finra_otc_transparency_venue_share_latest AS
SELECT c.capture_id, c.week_ending, c.tier, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       m.total_shares, m.share, m.rank, c.captured_at
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_venue_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_venue v ON v.venue_id = m.venue_id;

-- HHI, 0…1: one row for the tier (scope 'TIER', symbol '') and one for each symbol.
CREATE VIEW finra_otc_transparency_hhi AS
SELECT c.capture_id, c.week_ending, c.tier, 'TIER' AS scope, '' AS symbol, m.hhi, m.venue_count, m.total_shares, c.captured_at
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_tier_measure m ON m.capture_key = c.capture_key
UNION ALL
SELECT c.capture_id, c.week_ending, c.tier, 'SYMBOL' AS scope, i.symbol, m.hhi, m.venue_count, m.total_shares, c.captured_at
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_symbol_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = m.issue_id;

CREATE VIEW finra_otc_transparency_hhi_latest AS
SELECT c.capture_id, c.week_ending, c.tier, 'TIER' AS scope, '' AS symbol, m.hhi, m.venue_count, m.total_shares, c.captured_at
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_tier_measure m ON m.capture_key = c.capture_key
UNION ALL
SELECT c.capture_id, c.week_ending, c.tier, 'SYMBOL' AS scope, i.symbol, m.hhi, m.venue_count, m.total_shares, c.captured_at
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_symbol_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = m.issue_id;

CREATE VIEW finra_otc_transparency_symbol_summary AS
SELECT c.capture_id, c.week_ending, c.tier, i.symbol, m.total_shares, m.ats_shares,
       m.total_trades, m.total_notional, m.venue_count, m.hhi, c.captured_at
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_symbol_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = m.issue_id;

CREATE VIEW finra_otc_transparency_symbol_summary_latest AS
SELECT c.capture_id, c.week_ending, c.tier, i.symbol, m.total_shares, m.ats_shares,
       m.total_trades, m.total_notional, m.venue_count, m.hhi, c.captured_at
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_symbol_measure m ON m.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = m.issue_id;

-- A venue's share of each symbol: a view over the facts, dense, never stored. Summed in millionths of a share, exactly.
CREATE VIEW finra_otc_transparency_symbol_venue_share AS
SELECT c.capture_id, c.week_ending, c.tier, i.symbol, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       f.total_shares,
       CAST(ROUND(f.total_shares * 1000000) AS DOUBLE PRECISION) / NULLIF(CAST(SUM(CAST(ROUND(f.total_shares * 1000000) AS BIGINT))
           OVER (PARTITION BY c.capture_id, i.symbol) AS DOUBLE PRECISION), 0) AS share, c.captured_at
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_volume f ON f.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = f.issue_id
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id;

CREATE VIEW finra_otc_transparency_symbol_venue_share_latest AS
SELECT c.capture_id, c.week_ending, c.tier, i.symbol, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       f.total_shares,
       CAST(ROUND(f.total_shares * 1000000) AS DOUBLE PRECISION) / NULLIF(CAST(SUM(CAST(ROUND(f.total_shares * 1000000) AS BIGINT))
           OVER (PARTITION BY c.capture_id, i.symbol) AS DOUBLE PRECISION), 0) AS share, c.captured_at
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_volume f ON f.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = f.issue_id
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id;

CREATE VIEW finra_otc_transparency_weekly_totals AS
SELECT w.capture_id, w.week_ending, w.total_shares, w.ats_shares, w.total_trades, w.total_notional,
       w.symbol_count, w.venue_count, w.captured_at
FROM finra_otc_transparency_week w;

-- The current result of a week is the one made from the current captures of its three tiers.
CREATE VIEW finra_otc_transparency_current_week AS
SELECT w.week_key, w.capture_id, w.week_ending, w.run_date, w.captured_at
FROM finra_otc_transparency_week w
JOIN finra_otc_transparency_current t1 ON t1.capture_key = w.nms_tier_1_key
JOIN finra_otc_transparency_current t2 ON t2.capture_key = w.nms_tier_2_key
JOIN finra_otc_transparency_current t3 ON t3.capture_key = w.otc_key
WHERE NOT EXISTS (
    SELECT 1 FROM finra_otc_transparency_week newer
    WHERE newer.week_ending = w.week_ending AND newer.run_date > w.run_date
      AND newer.nms_tier_1_key = w.nms_tier_1_key AND newer.nms_tier_2_key = w.nms_tier_2_key AND newer.otc_key = w.otc_key);

CREATE VIEW finra_otc_transparency_weekly_totals_latest AS
SELECT w.capture_id, w.week_ending, w.total_shares, w.ats_shares, w.total_trades, w.total_notional,
       w.symbol_count, w.venue_count, w.captured_at
FROM finra_otc_transparency_week w
JOIN finra_otc_transparency_current_week now ON now.week_key = w.week_key;

CREATE VIEW finra_otc_transparency_tier_split AS
SELECT w.capture_id, w.week_ending, s.tier, s.total_shares, s.total_trades, s.total_notional, s.share, w.captured_at
FROM finra_otc_transparency_week w
JOIN finra_otc_transparency_week_tier s ON s.week_key = w.week_key;

CREATE VIEW finra_otc_transparency_tier_split_latest AS
SELECT w.capture_id, w.week_ending, s.tier, s.total_shares, s.total_trades, s.total_notional, s.share, w.captured_at
FROM finra_otc_transparency_current_week w
JOIN finra_otc_transparency_week_tier s ON s.week_key = w.week_key;
