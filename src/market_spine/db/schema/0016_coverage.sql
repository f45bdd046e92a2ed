-- A first week that was asked for is kept when an earlier one is asked for, so that a past day knows how far the store reached.
CREATE TABLE core_coverage_kept (
    domain TEXT NOT NULL,
    tier TEXT NOT NULL,
    first_week TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (domain, tier, first_week)
);
INSERT INTO core_coverage_kept (domain, tier, first_week, updated_at)
SELECT domain, tier, first_week, updated_at FROM core_coverage;
DROP TABLE core_coverage;
ALTER TABLE core_coverage_kept RENAME TO core_coverage;
