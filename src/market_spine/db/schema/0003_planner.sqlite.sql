-- What the planner must know and has no way to guess: the volume table is a thousand times larger than the tables around
-- it. Without these proportions (of some 600 weeks) it scans it for the history of one symbol. ANALYZE overwrites them.
ANALYZE sqlite_master;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('finra_otc_transparency_capture', 'sqlite_autoindex_finra_otc_transparency_capture_1', '2000 1'),
    ('finra_otc_transparency_capture', 'sqlite_autoindex_finra_otc_transparency_capture_2', '2000 4 2 1'),
    ('finra_otc_transparency_issue', 'sqlite_autoindex_finra_otc_transparency_issue_1', '60000 2 1 1'),
    ('finra_otc_transparency_venue', 'sqlite_autoindex_finra_otc_transparency_venue_1', '400 200 2 2 1'),
    ('finra_otc_transparency_volume', 'finra_otc_transparency_volume', '80000000 40000 6 1'),
    ('finra_otc_transparency_symbol_measure', 'finra_otc_transparency_symbol_measure', '16000000 8000 1'),
    ('finra_otc_transparency_venue_measure', 'finra_otc_transparency_venue_measure', '400000 200 1');
ANALYZE sqlite_master;
