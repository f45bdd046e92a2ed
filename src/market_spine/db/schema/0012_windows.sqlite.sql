-- Rolling measures: figures over the 6 or 13 consecutive weeks of a tier that end with a week, each week by one capture. A row
-- never changes: made of other captures, a window is another row. It outlives the pruning of a capture it is made of.
CREATE TABLE finra_otc_transparency_window (
    window_key INTEGER PRIMARY KEY,
    week_ending TEXT NOT NULL,
    tier TEXT NOT NULL,
    length INTEGER NOT NULL,
    inputs_hash TEXT NOT NULL,
    compared_week TEXT NOT NULL,
    made_at TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    UNIQUE (week_ending, tier, length, inputs_hash)
);

-- The captures that a window is made of; position 0 is its oldest week.
CREATE TABLE finra_otc_transparency_window_input (
    window_key INTEGER NOT NULL,
    position INTEGER NOT NULL,
    week_ending TEXT NOT NULL,
    capture_key INTEGER NOT NULL,
    PRIMARY KEY (window_key, position)
) WITHOUT ROWID;
CREATE INDEX finra_otc_transparency_window_input_capture ON finra_otc_transparency_window_input (capture_key);

-- The figures of the whole tier. Slopes are per week.
CREATE TABLE finra_otc_transparency_window_tier (
    window_key INTEGER PRIMARY KEY,
    basis TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    venue_count INTEGER NOT NULL,
    total_shares NUMERIC NOT NULL,
    ats_shares NUMERIC NOT NULL,
    total_trades INTEGER NOT NULL,
    shares_slope REAL,
    hhi REAL,
    hhi_mean REAL,
    hhi_slope REAL,
    effective_venues_slope REAL,
    ats_fraction_slope REAL,
    trade_size_slope REAL
);

-- The figures of each venue, under the least id with its class, MPID and CRD number.
CREATE TABLE finra_otc_transparency_window_venue (
    window_key INTEGER NOT NULL,
    venue_id INTEGER NOT NULL,
    total_shares NUMERIC NOT NULL,
    share_mean REAL,
    slope REAL,
    rank INTEGER NOT NULL,
    deviation REAL,
    active_weeks INTEGER NOT NULL,
    PRIMARY KEY (window_key, venue_id)
) WITHOUT ROWID;

-- Up to which event the windows follow the captures, and which lengths are kept.
CREATE TABLE finra_otc_transparency_window_progress (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    lengths TEXT NOT NULL
);

-- The windows of which every input is the current capture of its week.
CREATE VIEW finra_otc_transparency_current_window AS
SELECT w.window_key, w.week_ending, w.tier, w.length, w.inputs_hash, w.compared_week, w.made_at
FROM finra_otc_transparency_window w
WHERE NOT EXISTS (
    SELECT 1 FROM finra_otc_transparency_window_input i
    WHERE i.window_key = w.window_key
      AND NOT EXISTS (SELECT 1 FROM finra_otc_transparency_current c WHERE c.capture_key = i.capture_key));

-- What a venue was over the weeks of a window. rank_change is against the window that ends where this one begins: the one made
-- last before it; in the twin the current one.
CREATE VIEW finra_otc_transparency_rolling_venue_share AS
SELECT w.inputs_hash, w.week_ending, w.tier, w.length, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       f.total_shares,
       CAST(f.total_shares AS DOUBLE PRECISION) / NULLIF(CAST(t.total_shares AS DOUBLE PRECISION), 0) AS share_pooled,
       f.share_mean, CAST(f.total_shares AS DOUBLE PRECISION) / CAST(t.sessions AS DOUBLE PRECISION) AS per_session, f.slope,
       f.rank, before.rank - f.rank AS rank_change, f.deviation, f.active_weeks, t.basis,
       CASE WHEN f.share_mean IS NULL THEN 'a week has no volume' WHEN f.deviation IS NULL THEN 'no spread before' END AS reason,
       w.window_key, f.venue_id
FROM finra_otc_transparency_window w
JOIN finra_otc_transparency_window_tier t ON t.window_key = w.window_key
JOIN finra_otc_transparency_window_venue f ON f.window_key = w.window_key
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id
LEFT JOIN finra_otc_transparency_window_venue before
    ON before.venue_id = f.venue_id AND before.window_key = (
        SELECT MAX(b.window_key) FROM finra_otc_transparency_window b
        WHERE b.week_ending = w.compared_week AND b.tier = w.tier AND b.length = w.length AND b.window_key < w.window_key);

CREATE VIEW finra_otc_transparency_rolling_venue_share_latest AS
SELECT w.inputs_hash, w.week_ending, w.tier, w.length, v.venue_class, v.mpid, NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name,
       f.total_shares,
       CAST(f.total_shares AS DOUBLE PRECISION) / NULLIF(CAST(t.total_shares AS DOUBLE PRECISION), 0) AS share_pooled,
       f.share_mean, CAST(f.total_shares AS DOUBLE PRECISION) / CAST(t.sessions AS DOUBLE PRECISION) AS per_session, f.slope,
       f.rank, before.rank - f.rank AS rank_change, f.deviation, f.active_weeks, t.basis,
       CASE WHEN f.share_mean IS NULL THEN 'a week has no volume' WHEN f.deviation IS NULL THEN 'no spread before' END AS reason,
       w.window_key, f.venue_id
FROM finra_otc_transparency_current_window w
JOIN finra_otc_transparency_window_tier t ON t.window_key = w.window_key
JOIN finra_otc_transparency_window_venue f ON f.window_key = w.window_key
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id
LEFT JOIN finra_otc_transparency_current_window b
    ON b.week_ending = w.compared_week AND b.tier = w.tier AND b.length = w.length
LEFT JOIN finra_otc_transparency_window_venue before ON before.window_key = b.window_key AND before.venue_id = f.venue_id;

-- How concentrated a tier was over the weeks of a window; hhi is that of the volumes added up.
CREATE VIEW finra_otc_transparency_rolling_hhi AS
SELECT w.inputs_hash, w.week_ending, w.tier, w.length, t.hhi, t.hhi_mean, t.hhi_slope, 1 / NULLIF(t.hhi, 0) AS effective_venues,
       t.effective_venues_slope, t.venue_count, t.basis,
       CASE WHEN t.hhi_mean IS NULL THEN 'a week has no volume' END AS reason, w.window_key
FROM finra_otc_transparency_window w
JOIN finra_otc_transparency_window_tier t ON t.window_key = w.window_key;

CREATE VIEW finra_otc_transparency_rolling_hhi_latest AS
SELECT w.inputs_hash, w.week_ending, w.tier, w.length, t.hhi, t.hhi_mean, t.hhi_slope, 1 / NULLIF(t.hhi, 0) AS effective_venues,
       t.effective_venues_slope, t.venue_count, t.basis,
       CASE WHEN t.hhi_mean IS NULL THEN 'a week has no volume' END AS reason, w.window_key
FROM finra_otc_transparency_current_window w
JOIN finra_otc_transparency_window_tier t ON t.window_key = w.window_key;

-- The volume of a tier over the weeks of a window.
CREATE VIEW finra_otc_transparency_rolling_totals AS
SELECT w.inputs_hash, w.week_ending, w.tier, w.length, t.total_shares,
       CAST(t.total_shares AS DOUBLE PRECISION) / CAST(t.sessions AS DOUBLE PRECISION) AS per_session, t.shares_slope,
       CAST(t.ats_shares AS DOUBLE PRECISION) / NULLIF(CAST(t.total_shares AS DOUBLE PRECISION), 0) AS ats_fraction,
       t.ats_fraction_slope, t.total_trades,
       CAST(t.total_shares AS DOUBLE PRECISION) / NULLIF(CAST(t.total_trades AS DOUBLE PRECISION), 0) AS average_trade_size,
       t.trade_size_slope, t.sessions, t.basis,
       CASE WHEN t.hhi_mean IS NULL THEN 'a week has no volume' END AS reason, w.window_key
FROM finra_otc_transparency_window w
JOIN finra_otc_transparency_window_tier t ON t.window_key = w.window_key;

CREATE VIEW finra_otc_transparency_rolling_totals_latest AS
SELECT w.inputs_hash, w.week_ending, w.tier, w.length, t.total_shares,
       CAST(t.total_shares AS DOUBLE PRECISION) / CAST(t.sessions AS DOUBLE PRECISION) AS per_session, t.shares_slope,
       CAST(t.ats_shares AS DOUBLE PRECISION) / NULLIF(CAST(t.total_shares AS DOUBLE PRECISION), 0) AS ats_fraction,
       t.ats_fraction_slope, t.total_trades,
       CAST(t.total_shares AS DOUBLE PRECISION) / NULLIF(CAST(t.total_trades AS DOUBLE PRECISION), 0) AS average_trade_size,
       t.trade_size_slope, t.sessions, t.basis,
       CASE WHEN t.hhi_mean IS NULL THEN 'a week has no volume' END AS reason, w.window_key
FROM finra_otc_transparency_current_window w
JOIN finra_otc_transparency_window_tier t ON t.window_key = w.window_key;

-- What each week of a window adds to a symbol: shares in millionths, fractions in units of 2**-52, so that they add up alike in
-- any order and on either engine.
CREATE VIEW finra_otc_transparency_window_symbol AS
SELECT i.window_key, i.position, n.symbol, CAST(ROUND(m.total_shares * 1000000) AS BIGINT) AS shares,
       CAST(ROUND(m.ats_shares * 1000000) AS BIGINT) AS ats_shares, m.total_trades,
       CAST(CAST(m.total_shares AS DOUBLE PRECISION)
            / NULLIF(CAST(y.total_shares AS DOUBLE PRECISION), 0) * 4503599627370496 + 0.5 AS BIGINT) AS share,
       CAST(m.hhi * 4503599627370496 + 0.5 AS BIGINT) AS hhi
FROM finra_otc_transparency_window_input i
JOIN finra_otc_transparency_tier_measure y ON y.capture_key = i.capture_key
JOIN finra_otc_transparency_symbol_measure m ON m.capture_key = i.capture_key
JOIN finra_otc_transparency_issue n ON n.issue_id = m.issue_id;

-- A symbol over the weeks of a window, added up when it is queried. A window of which a capture was pruned is left out.
CREATE VIEW finra_otc_transparency_rolling_symbol AS
SELECT w.inputs_hash, w.week_ending, w.tier, w.length, s.symbol,
       CAST(SUM(s.shares) AS DOUBLE PRECISION) / 1000000 AS total_shares,
       CAST(SUM(s.shares) AS DOUBLE PRECISION) / NULLIF(CAST(t.total_shares AS DOUBLE PRECISION) * 1000000, 0) AS share_pooled,
       CASE WHEN t.hhi_mean IS NOT NULL
            THEN CAST(SUM(s.share) AS DOUBLE PRECISION) / (4503599627370496.0 * w.length) END AS share_mean,
       CAST(SUM(s.shares) AS DOUBLE PRECISION) / (1000000.0 * t.sessions) AS per_session,
       CASE WHEN t.hhi_mean IS NOT NULL
            THEN 6 * CAST(SUM((2 * s.position + 1 - w.length) * s.share) AS DOUBLE PRECISION)
                / (4503599627370496.0 * w.length * (w.length * w.length - 1)) END AS slope,
       CAST(SUM(s.ats_shares) AS DOUBLE PRECISION) / NULLIF(CAST(SUM(s.shares) AS DOUBLE PRECISION), 0) AS ats_fraction,
       CAST(SUM(s.hhi) AS DOUBLE PRECISION) / NULLIF(4503599627370496.0 * COUNT(s.hhi), 0) AS hhi_mean,
       CAST(SUM(s.total_trades) AS BIGINT) AS total_trades, COUNT(*) AS active_weeks,
       CASE WHEN t.hhi_mean IS NULL THEN 'a week has no volume' END AS reason, w.window_key
FROM finra_otc_transparency_window w
JOIN finra_otc_transparency_window_tier t ON t.window_key = w.window_key
JOIN finra_otc_transparency_window_symbol s ON s.window_key = w.window_key
WHERE NOT EXISTS (
    SELECT 1 FROM finra_otc_transparency_window_input i
    WHERE i.window_key = w.window_key
      AND NOT EXISTS (SELECT 1 FROM finra_otc_transparency_tier_measure y WHERE y.capture_key = i.capture_key))
GROUP BY w.window_key, t.window_key, s.symbol;

CREATE VIEW finra_otc_transparency_rolling_symbol_latest AS
SELECT w.inputs_hash, w.week_ending, w.tier, w.length, s.symbol,
       CAST(SUM(s.shares) AS DOUBLE PRECISION) / 1000000 AS total_shares,
       CAST(SUM(s.shares) AS DOUBLE PRECISION) / NULLIF(CAST(t.total_shares AS DOUBLE PRECISION) * 1000000, 0) AS share_pooled,
       CASE WHEN t.hhi_mean IS NOT NULL
            THEN CAST(SUM(s.share) AS DOUBLE PRECISION) / (4503599627370496.0 * w.length) END AS share_mean,
       CAST(SUM(s.shares) AS DOUBLE PRECISION) / (1000000.0 * t.sessions) AS per_session,
       CASE WHEN t.hhi_mean IS NOT NULL
            THEN 6 * CAST(SUM((2 * s.position + 1 - w.length) * s.share) AS DOUBLE PRECISION)
                / (4503599627370496.0 * w.length * (w.length * w.length - 1)) END AS slope,
       CAST(SUM(s.ats_shares) AS DOUBLE PRECISION) / NULLIF(CAST(SUM(s.shares) AS DOUBLE PRECISION), 0) AS ats_fraction,
       CAST(SUM(s.hhi) AS DOUBLE PRECISION) / NULLIF(4503599627370496.0 * COUNT(s.hhi), 0) AS hhi_mean,
       CAST(SUM(s.total_trades) AS BIGINT) AS total_trades, COUNT(*) AS active_weeks,
       CASE WHEN t.hhi_mean IS NULL THEN 'a week has no volume' END AS reason, w.window_key
FROM finra_otc_transparency_window w
JOIN finra_otc_transparency_window_tier t ON t.window_key = w.window_key
JOIN finra_otc_transparency_window_symbol s ON s.window_key = w.window_key
WHERE NOT EXISTS (
    SELECT 1 FROM finra_otc_transparency_window_input i
    WHERE i.window_key = w.window_key
      AND NOT EXISTS (SELECT 1 FROM finra_otc_transparency_tier_measure y WHERE y.capture_key = i.capture_key))
  AND w.window_key IN (SELECT now.window_key FROM finra_otc_transparency_current_window now)
GROUP BY w.window_key, t.window_key, s.symbol;
