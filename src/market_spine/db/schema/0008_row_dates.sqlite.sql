-- The dates FINRA declares of a row, which no backtest without look-ahead can do without: when it was first published
-- (initialPublishedDate) and when it was last changed (lastUpdateDate; the day of publication, where it never was). What was captured
-- before has none until `spine rebuild` reads them from its stored content.

-- The pair that most rows of a capture share stands on the capture, so a week without revisions costs nothing a row.
ALTER TABLE finra_otc_transparency_capture ADD COLUMN published_on TEXT;
ALTER TABLE finra_otc_transparency_capture ADD COLUMN revised_on TEXT;

-- The rows whose dates are not those of their capture.
CREATE TABLE finra_otc_transparency_row_date (
    capture_key INTEGER NOT NULL,
    issue_id INTEGER NOT NULL,
    venue_id INTEGER NOT NULL,
    published_on TEXT,
    revised_on TEXT,
    PRIMARY KEY (capture_key, issue_id, venue_id)
) WITHOUT ROWID;

DROP VIEW finra_otc_transparency_normalized;
DROP VIEW finra_otc_transparency_normalized_latest;

-- A row's own dates where it has any, which may be NULL, else those of its capture: COALESCE could not tell NULL from none.
CREATE VIEW finra_otc_transparency_normalized AS
SELECT c.capture_id, c.week_ending, c.tier, i.symbol, i.issue_name, i.product_type, v.venue_class, v.mpid,
       NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name, f.total_shares, f.total_trades, f.total_notional, c.captured_at,
       CASE WHEN d.capture_key IS NULL THEN c.published_on ELSE d.published_on END AS published_on,
       CASE WHEN d.capture_key IS NULL THEN c.revised_on ELSE d.revised_on END AS revised_on
FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_volume f ON f.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = f.issue_id
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id
LEFT JOIN finra_otc_transparency_row_date d
    ON d.capture_key = f.capture_key AND d.issue_id = f.issue_id AND d.venue_id = f.venue_id;

CREATE VIEW finra_otc_transparency_normalized_latest AS
SELECT c.capture_id, c.week_ending, c.tier, i.symbol, i.issue_name, i.product_type, v.venue_class, v.mpid,
       NULLIF(v.firm_crd, 0) AS firm_crd, v.venue_name, f.total_shares, f.total_trades, f.total_notional, c.captured_at,
       CASE WHEN d.capture_key IS NULL THEN own.published_on ELSE d.published_on END AS published_on,
       CASE WHEN d.capture_key IS NULL THEN own.revised_on ELSE d.revised_on END AS revised_on
FROM finra_otc_transparency_current c
JOIN finra_otc_transparency_capture own ON own.capture_key = c.capture_key
JOIN finra_otc_transparency_volume f ON f.capture_key = c.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = f.issue_id
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id
LEFT JOIN finra_otc_transparency_row_date d
    ON d.capture_key = f.capture_key AND d.issue_id = f.issue_id AND d.venue_id = f.venue_id;
