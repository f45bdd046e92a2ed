-- PostgreSQL measures its tables itself; these grow by a partition at a time, so it looks again sooner than by default.
ALTER TABLE finra_otc_transparency_volume SET (autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE finra_otc_transparency_symbol_measure SET (autovacuum_analyze_scale_factor = 0.02);
