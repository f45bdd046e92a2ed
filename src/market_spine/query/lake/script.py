"""The SQL that makes a lake a database in DuckDB: the views of the data dictionary, their `_latest` twins, and as-of macros.

The script looks the files up in the manifest each time it is run, so it does not change when files are added. A view without
any file reads one without rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from market_spine.query.lake.files import LAKE_VIEWS, empty_path, empty_year
from market_spine.query.lake.tables import COLUMNS
from market_spine.query.views import VIEWS, View

MANIFEST = "_manifest.json"
_FULL = "finra_otc_transparency_"
_ON_DAY = "{0}.valid_from <= CAST(day AS DATE) AND ({0}.valid_to IS NULL OR CAST(day AS DATE) < {0}.valid_to)"
_NOW = "{0}.valid_to IS NULL"
_PATHS = tuple(f"{name}{years}" for name in LAKE_VIEWS for years in ("", "_years"))
_HEAD = """\
-- The lake as a database: duckdb -init lake.sql. Made by spine export --history; it is the same after every export.
--
--   FROM normalized_as_of('2026-01-09') WHERE tier = 'OTC' AND symbol = 'BRK.B';
--   FROM finra_otc_transparency_venue_share_latest;
--
-- It reads the newest manifest. Run it again to see a later one; say where a copy is with SET VARIABLE lake = '…' before.
SET VARIABLE lake = COALESCE(getvariable('lake'), '{root}');
SET VARIABLE lake_tables = (SELECT tables FROM read_json(getvariable('lake') || '/{manifest}', columns = {{tables: '{types}'}}));
"""


def script(root: str) -> str:
    """The statements, for a lake at that root."""
    entry = "STRUCT(path VARCHAR)"
    types = f"STRUCT({', '.join(f'{name} {entry}' for name in COLUMNS)})"
    head = _HEAD.format(root=root.replace("'", "''"), manifest=MANIFEST, types=types)
    tables = [
        f"SET VARIABLE lake_{name} = getvariable('lake') || '/' || getvariable('lake_tables').{name}.path;" for name in COLUMNS
    ]
    listing = [_table(name, f"getvariable('lake_{name}')") for name in ("files", "compacted")]
    lists = [
        f"SET VARIABLE lake_{name} = (SELECT COALESCE(list(getvariable('lake') || '/' || path ORDER BY path), "
        f"[getvariable('lake') || '/{empty}']) FROM (SELECT DISTINCT path FROM {table} WHERE view = '{view.name}'));"
        for view in LAKE_VIEWS.values()
        for name, table, empty in (
            (view.name, "files", empty_path(view)), (f"{view.name}_years", "compacted", empty_year(view)),
        )
    ]
    views = _statements({name: f"getvariable('lake_{name}')" for name in (*COLUMNS, *_PATHS)})
    return "\n".join([head, *tables, *map(_temporary, listing), *lists, _temporary(views)])


def _temporary(statements: str) -> str:
    return statements.replace("CREATE OR REPLACE ", "CREATE OR REPLACE TEMP ")


def literal_script(root: str, paths: Mapping[str, Sequence[str]]) -> str:
    """The same for a DuckDB file, in which variables do not last: the paths are written out, by table and view."""
    return _statements({name: _literals(root, paths[name]) for name in (*COLUMNS, *_PATHS)})


def _literals(root: str, paths: Sequence[str]) -> str:
    quoted = (f"{root}/{path}".replace("'", "''") for path in paths)
    return "[" + ", ".join(f"'{path}'" for path in quoted) + "]"


def _statements(sources: Mapping[str, str]) -> str:
    """Tables, views, twins and macros; `sources` is what each is read from."""
    tables = [_table(name, sources[name]) for name in COLUMNS]
    views = (_view(view, _read_files(view, sources[view.name], sources[f"{view.name}_years"])) for view in LAKE_VIEWS.values())
    computed = {"symbol_venue_share": _SYMBOL_VENUE_SHARE, "rolling_symbol": _ROLLING_SYMBOL}
    return "\n".join([*tables, *views, _WINDOWS, *(_view(VIEWS[name], every) for name, every in computed.items()), _READINESS])


def _table(name: str, source: str) -> str:
    return f"CREATE OR REPLACE VIEW {name} AS FROM read_parquet({source});"


def _read_files(view: View, source: str, years: str) -> str:
    """Of single files, where the columns of the path are not in them, and of compacted ones."""
    hive_types = "week_ending: DATE" if view.of_week else "week_ending: DATE, tier: VARCHAR"
    return (
        f"SELECT {', '.join(view.columns)}\n"
        f"FROM read_parquet({source}, hive_partitioning = true, hive_types = {{{hive_types}}})\n"
        f"UNION ALL\nSELECT {', '.join(view.columns)} FROM read_parquet({years}, hive_partitioning = false)"
    )


def _view(view: View, every: str) -> str:
    """A view of all captures, made by `every`, its twin and its macro."""
    valid = _valid_window if view.of_window else _valid
    return (
        f"\nCREATE OR REPLACE VIEW {_FULL}{view.name} AS\n{every};\n"
        f"CREATE OR REPLACE VIEW {_FULL}{view.name}_latest AS\n{valid(view, _NOW)};\n"
        f"CREATE OR REPLACE MACRO {view.name}_as_of(day) AS TABLE\n{valid(view, _ON_DAY)}\nORDER BY {_order(view)};"
    )


def _valid(view: View, when: str) -> str:
    """The rows of the captures or results that were valid."""
    shown = ", ".join(f"r.{name}" for name in view.columns)
    intervals, measured = "week_validity" if view.of_week else "validity", ""
    if view.measured and not view.of_week:
        measured = " AND v.measured_from IS NOT NULL" if when == _NOW else " AND v.measured_from <= CAST(day AS DATE)"
    return (
        f"SELECT {shown}\nFROM {_FULL}{view.name} r JOIN {intervals} v ON v.capture_id = r.capture_id\n"
        f"WHERE {when.format('v')}{measured}"
    )


def _valid_window(view: View, when: str) -> str:
    """The rows of the windows that stood; one without figures where there was none, for the reason."""
    of_window = {name: f"w.{name}" for name in ("inputs_hash", "week_ending", "tier", "length")}
    if view.of_symbol:
        of_window["inputs_hash"] = "r.inputs_hash"  # not of a window that is shown for its reason
    reasons = "w.reason, p.reason, r.reason" if view.of_symbol else "w.reason, r.reason"
    of_window |= {"reason": f"COALESCE({reasons}) AS reason", "rank_change": "b.rank - r.rank AS rank_change"}
    shown = ", ".join(of_window.get(name, f"r.{name}") for name in view.columns)
    compared = (
        f"\nLEFT JOIN {_FULL}{view.name} b ON b.inputs_hash = w.compared_hash AND b.tier = w.tier AND b.length = w.length\n"
        "  AND b.venue_class = r.venue_class AND b.mpid = r.mpid AND b.firm_crd IS NOT DISTINCT FROM r.firm_crd\n"
        "  AND b.venue_name = r.venue_name"
    )
    pruned = (
        "\nLEFT JOIN pruned_windows p\n"
        "  ON p.inputs_hash = w.inputs_hash AND p.week_ending = w.week_ending AND p.tier = w.tier AND p.length = w.length"
    )
    return (
        f"SELECT {shown}\nFROM window_validity w LEFT JOIN {_FULL}{view.name} r\n"
        "  ON r.inputs_hash = w.inputs_hash AND r.week_ending = w.week_ending AND r.tier = w.tier AND r.length = w.length"
        f"{compared if view.compares else ''}{pruned if view.of_symbol else ''}\n"
        f"WHERE {when.format('w')}"
    )


def _order(view: View) -> str:
    """The order in which `spine query` returns the rows: the view's own, within each partition."""
    group = "w.week_ending, w.tier, w.length" if view.of_window else "r.week_ending" if view.of_week else "r.week_ending, r.tier"
    _, _, within = view.of_capture.partition("ORDER BY")
    return ", ".join(part for part in (group, " ".join(within.split())) if part)


# As the store computes it; the columns of the path are in PARTITION BY, so that filters on them reach the files.
_MILLIONTHS = "CAST(total_shares * 1000000 AS BIGINT)"
_SYMBOL_VENUE_SHARE = f"""\
SELECT capture_id, week_ending, tier, symbol, venue_class, mpid, firm_crd, venue_name, total_shares,
       CAST({_MILLIONTHS} AS DOUBLE PRECISION) / NULLIF(CAST(SUM({_MILLIONTHS})
           OVER (PARTITION BY week_ending, tier, capture_id, symbol) AS DOUBLE PRECISION), 0) AS share, captured_at
FROM {_FULL}normalized"""
# What each week adds to a symbol, in whole millionths and units of 2**-52 as the store adds them up. A decimal is cast to the
# number that the store has: above 9 billion shares by its text, because the cast of DuckDB rounds twice there.
_UNIT = "CAST(4503599627370496 AS DOUBLE)"
_WINDOWS = f"""
CREATE OR REPLACE MACRO stored_number(exact) AS
CASE WHEN exact < 9000000000 THEN CAST(exact AS DOUBLE) ELSE CAST(CAST(exact AS VARCHAR) AS DOUBLE) END;
CREATE OR REPLACE VIEW pruned_windows AS
SELECT i.inputs_hash, i.week_ending, i.tier, i.length,
       min_by(CAST(c.week_ending AS VARCHAR) || ' ' || c.tier || ' pruned', i.position) AS reason
FROM window_inputs i JOIN captures c ON c.capture_id = i.capture_id WHERE c.pruned_at IS NOT NULL
GROUP BY i.inputs_hash, i.week_ending, i.tier, i.length;
CREATE OR REPLACE VIEW window_symbol AS
SELECT i.inputs_hash, i.week_ending, i.tier, i.length, i.position, m.symbol,
       CAST(m.total_shares * 1000000 AS BIGINT) AS shares, CAST(m.ats_shares * 1000000 AS BIGINT) AS ats_shares, m.total_trades,
       CAST(FLOOR(stored_number(m.total_shares) / NULLIF(stored_number(y.total_shares), 0) * {_UNIT} + 0.5) AS BIGINT) AS share,
       CAST(FLOOR(m.hhi * {_UNIT} + 0.5) AS BIGINT) AS hhi
FROM window_inputs i
JOIN {_FULL}concentration y ON y.capture_id = i.capture_id
JOIN {_FULL}symbol_summary m ON m.capture_id = i.capture_id;
"""
_TOTAL = "CAST(CAST(SUM({0}) AS BIGINT) AS DOUBLE)"
_ROLLING_SYMBOL = f"""\
SELECT s.inputs_hash, s.week_ending, s.tier, s.length, s.symbol, {_TOTAL.format("s.shares")} / 1000000 AS total_shares,
       {_TOTAL.format("s.shares")} / NULLIF(stored_number(t.total_shares) * 1000000, 0) AS share_pooled,
       CASE WHEN t.reason IS NULL THEN {_TOTAL.format("s.share")} / ({_UNIT} * s.length) END AS share_mean,
       {_TOTAL.format("s.shares")} / (CAST(1000000 AS DOUBLE) * t.sessions) AS per_session,
       CASE WHEN t.reason IS NULL
            THEN 6 * {_TOTAL.format("(2 * s.position + 1 - s.length) * s.share")}
                / ({_UNIT} * s.length * (s.length * s.length - 1)) END AS slope,
       {_TOTAL.format("s.ats_shares")} / NULLIF({_TOTAL.format("s.shares")}, 0) AS ats_fraction,
       {_TOTAL.format("s.hhi")} / NULLIF({_UNIT} * COUNT(s.hhi), 0) AS hhi_mean,
       CAST(SUM(s.total_trades) AS BIGINT) AS total_trades, COUNT(*) AS active_weeks, t.reason
FROM window_symbol s
JOIN {_FULL}rolling_totals t
  ON t.inputs_hash = s.inputs_hash AND t.week_ending = s.week_ending AND t.tier = s.tier AND t.length = s.length
WHERE NOT EXISTS (FROM pruned_windows p WHERE p.inputs_hash = s.inputs_hash AND p.week_ending = s.week_ending AND p.tier = s.tier
                                          AND p.length = s.length)
GROUP BY s.inputs_hash, s.week_ending, s.tier, s.length, s.symbol, t.total_shares, t.sessions, t.reason"""
_READINESS = f"""
CREATE OR REPLACE MACRO readiness_as_of(day) AS TABLE
SELECT week_ending, tier, is_ready, blocking_issues, judged_at FROM judgements WHERE judged_on <= CAST(day AS DATE)
QUALIFY row_number() OVER (PARTITION BY week_ending, tier ORDER BY number DESC) = 1
ORDER BY week_ending, tier NULLS FIRST;

-- The captures that were current on a day and were pruned since: their rows are not in the lake.
CREATE OR REPLACE MACRO left_out(day) AS TABLE
SELECT capture_id, week_ending, tier, pruned_at FROM validity v WHERE {_ON_DAY.format("v")} AND pruned_at IS NOT NULL
ORDER BY week_ending, tier;
"""
