"""The control of firm totals: what fits, what is found and named, and the measures that rest on them, against the unhidden truth."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from stand_ins import finra_rows

from market_spine.categories import Category
from market_spine.db import Database
from market_spine.measure import facts as facts_of
from market_spine.measure import firm_totals
from market_spine.measure.dimensions import Dimensions
from market_spine.measure.firm_totals import FIRM_TOTAL, SYMBOL_ROWS, Checked
from market_spine.measure.measures import TierMeasures, measure_tier
from market_spine.parse import weekly_file
from market_spine.parse.columns import MICRO, Venue
from market_spine.partition import NMS_TIER_1, Partition

WEEK = Partition(date(2025, 12, 26), NMS_TIER_1)
COLUMNS = (
    "weekStartDate|tierIdentifier|issueSymbolIdentifier|issueName|productTypeCode|marketParticipantName|MPID|firmCRDNumber|"
    "summaryTypeCode|totalWeeklyShareQuantity|totalWeeklyTradeCount|totalNotionalSum|lastUpdateDate"
)
UBSA, EBXL = Venue("ATS", "UBSA", 0, "UBS ATS"), Venue("ATS", "EBXL", 0, "LEVEL")
CITADEL, VIRTU, SMALL = (Venue("OTC", "", crd, name) for crd, name in ((116797, "CITADEL"), (149823, "VIRTU"), (900017, "HOLLOW")))
REST = Venue("OTC", "", 0, "De Minimis Firms")

# A symbol's firm → its shares in millionths: the truth that FINRA has and does not publish.
Truth = dict[tuple[str, Venue], int]


def truth_of(seed: int) -> Truth:
    """Any partition: ATSs, firms with and without small volumes, fractions down to a millionth."""
    draw = random.Random(seed)
    venues = [UBSA, EBXL, CITADEL, VIRTU, SMALL, *(Venue("OTC", "", 800_000 + n, f"FIRM {n}") for n in range(draw.randrange(6)))]
    truth: Truth = {}
    for symbol in range(draw.randint(1, 25)):
        for venue in draw.sample(venues, draw.randint(1, len(venues))):
            whole = draw.choice((1, 100, 10**6, 10**9))
            truth[f"S{symbol}", venue] = draw.randint(1, whole) * MICRO + draw.choice((0, 0, 250_000, draw.randrange(MICRO)))
    return truth


def hide(truth: Truth, least: int = 10_000 * MICRO) -> dict[tuple[str, Venue], int]:
    """What FINRA publishes of it: small volumes of firms that are no ATS in one line for each symbol."""
    rows: dict[tuple[str, Venue], int] = defaultdict(int)
    for (symbol, venue), shares in truth.items():
        rows[symbol, REST if venue.venue_class == "OTC" and shares < least else venue] += shares
    return dict(rows)


def by_venue(rows: dict[tuple[str, Venue], int]) -> dict[Venue, int]:
    sums: dict[Venue, int] = defaultdict(int)
    for (_, venue), shares in rows.items():
        sums[venue] += shares
    return dict(sums)


def number(micro: int) -> str:
    return f"{micro // MICRO}.{micro % MICRO:06}"


def line(venue: Venue, summary: str, shares: int, symbol: str = "") -> str:
    name = f"{symbol} Inc." if symbol else ""
    crd = venue.firm_crd or ""
    return (
        f"2025-12-22|T1|{symbol}|{name}||{venue.venue_name}|{venue.mpid}|{crd}|{venue.venue_class}_{summary}|{number(shares)}|1||2026-01-12"
    )


def document(rows: dict[tuple[str, Venue], int], totals: dict[Venue, int]) -> bytes:
    """A file with symbol rows and firm totals among each other."""
    lines = [line(venue, "W_SMBL_FIRM", shares, symbol) for (symbol, venue), shares in rows.items()]
    lines += [line(venue, "W_FIRM", shares) for venue, shares in totals.items()]
    random.Random(len(lines)).shuffle(lines)
    return ("\n".join([COLUMNS, *lines]) + "\n").encode()


def checked(rows: dict[tuple[str, Venue], int], totals: dict[Venue, int]) -> Checked:
    file = weekly_file.read([document(rows, totals)], WEEK)
    assert not file.rejects
    return firm_totals.check(file, file.totals, WEEK)


def test_what_is_hidden_of_all_firms_is_the_de_minimis_volume_to_the_last_millionth() -> None:
    for seed in range(300):
        truth = truth_of(seed)
        rows, totals = hide(truth), by_venue(truth)
        found = checked(rows, totals)
        assert (found.basis, found.problem) == (FIRM_TOTAL, None), (seed, found.message)
        hidden = firm_totals.hidden(by_venue(rows), totals)
        assert sum(hidden.values()) == by_venue(rows).get(REST, 0), seed
        small = {venue.firm for (_, venue), shares in truth.items() if venue.venue_class == "OTC" and shares < 10_000 * MICRO}
        assert {firm for firm, volume in hidden.items() if volume} == small, seed


def test_the_fakes_totals_fit_its_rows_to_the_last_millionth() -> None:
    for seed in range(200):
        draw = random.Random(seed)
        rows = list(finra_rows.firm_rows(date(2026, 9, 7), "T1", draw.randrange(60)))
        for number in range(draw.randint(1, 12)):
            shares = Decimal(draw.randrange(1, 10**9)) / draw.choice((1, 1, 10**6))
            line = finra_rows.off_ats(f"T{number:05}", "Issuer", "De Minimis Firms", None, "CTS", shares, draw.randrange(1, 99))
            rows.append(finra_rows.make_row(date(2026, 9, 7), "T1", "OTC_W_SMBL_FIRM", **line))
        published, totals = (volumes_of(found) for found in (rows, finra_rows.firm_totals(rows)))
        assert firm_totals.differences(published, totals) == (), seed
        hidden = firm_totals.hidden(published, totals)
        assert min(hidden.values()) >= 0
        assert sum(hidden.values()) == sum(volume for venue, volume in published.items() if venue.is_de_minimis) > 0


def volumes_of(rows: list[finra_rows.Row]) -> dict[Venue, int]:
    volumes: dict[Venue, int] = defaultdict(int)
    for row in rows:
        named = (row["MPID"] or "", row["firmCRDNumber"] or 0, row["marketParticipantName"])
        volumes[Venue(row["summaryTypeCode"][:3], *named)] += int(Decimal(str(row["totalWeeklyShareQuantity"])) * MICRO)
    return dict(volumes)


SYMBOL = {("A", UBSA): 500, ("A", CITADEL): 300, ("A", REST): 50, ("B", EBXL): 70, ("B", VIRTU): 30}
FIT = {UBSA: 500, EBXL: 70, CITADEL: 320, VIRTU: 40, SMALL: 20}
OLD = {UBSA: 500, EBXL: 70, CITADEL: 300, VIRTU: 30, REST: 50}  # until November 2019 the line stood among the totals, too
INJECTED = [
    pytest.param(FIT, [], id="they fit"),
    pytest.param(OLD, [], id="the line among the totals"),
    pytest.param(FIT | {UBSA: 501}, ["UBSA: rows 0.0005, total 0.000501"], id="an ATS off by one millionth"),
    pytest.param({v: t for v, t in FIT.items() if v != EBXL}, ["EBXL: rows 0.00007, total 0"], id="an ATS without a total"),
    pytest.param(
        FIT | {SMALL: 21}, ["firms that are not an ATS (De Minimis 0.00005): rows 0.00038, total 0.000381"], id="more than the rows"
    ),
    pytest.param(
        FIT | {CITADEL: 290, SMALL: 50}, ["CITADEL (CRD 116797) above its total: rows 0.0003, total 0.00029"], id="above its total"
    ),
    pytest.param(
        {UBSA: 500, EBXL: 71, CITADEL: 250, VIRTU: 10},
        [
            "EBXL: rows 0.00007, total 0.000071",
            "firms that are not an ATS (De Minimis 0.00005): rows 0.00038, total 0.00026",
            "CITADEL (CRD 116797) above its total: rows 0.0003, total 0.00025",
            "VIRTU (CRD 149823) above its total: rows 0.00003, total 0.00001",
        ],
        id="all at once",
    ),
]


@pytest.mark.parametrize(("totals", "differences"), INJECTED)
def test_every_difference_is_found_and_named(totals: dict[Venue, int], differences: list[str]) -> None:
    found = checked(SYMBOL, totals)
    assert [str(difference) for difference in found.differences] == differences
    assert found.problem == (Category.FIRM_TOTALS_DIFFER if differences else None)
    assert found.basis == (SYMBOL_ROWS if differences else FIRM_TOTAL)
    assert all(text in found.message for text in differences[:3])


GOOD = line(UBSA, "W_FIRM", 500)
UNUSABLE = [
    pytest.param([GOOD, GOOD], "firm totals are not used: UBSA has more than one", id="twice"),
    pytest.param([GOOD.replace("|T1|", "|T2|")], "firm totals are not used: line 2 is of the tier 'T2', not of NMS_TIER_1", id="another tier"),
    pytest.param(
        [GOOD.replace("2025-12-22", "2025-12-15")],
        "firm totals are not used: line 2 is of the week '2025-12-15', not of 2025-12-22",
        id="another week",
    ),
    pytest.param([GOOD.replace("|0.0005", "|-0.0005")], "firm totals are not used: line 2: negative share quantity", id="negative"),
    pytest.param([GOOD.replace("|0.000500|1|", "|x|1|")], "firm totals are not used: line 2: unreadable share quantity", id="no figure"),
    pytest.param([GOOD.replace("|0.000500|1|", "|1|1.5|")], "firm totals are not used: line 2: trade count is not a whole number", id="trades"),
    pytest.param([GOOD.replace("UBS ATS|UBSA", "|")], "firm totals are not used: line 2 names no firm", id="no firm"),
]


@pytest.mark.parametrize(("lines", "message"), UNUSABLE)
def test_totals_that_cannot_be_relied_on_are_not_used(lines: list[str], message: str) -> None:
    content = "\n".join([COLUMNS, *lines, line(UBSA, "W_SMBL_FIRM", 500, "A")]) + "\n"
    file = weekly_file.read([content.encode()], WEEK)
    found = firm_totals.check(file, file.totals, WEEK)
    assert (found.problem, found.message, found.totals) == (Category.FIRM_TOTALS_UNUSABLE, message, ())
    assert (len(file.columns.shares), file.rejects) == (1, ())


def test_a_line_without_a_symbol_is_a_reject_and_counts_in_its_firms_total() -> None:
    content = "\n".join([COLUMNS, line(UBSA, "W_SMBL_FIRM", 500, "A"), line(UBSA, "W_SMBL_FIRM", 7), line(UBSA, "W_FIRM", 507)])
    file = weekly_file.read([content.encode() + b"\n"], WEEK)
    assert [reject.reason for reject in file.rejects] == ["blank symbol"]
    assert firm_totals.check(file, file.totals, WEEK).basis == FIRM_TOTAL


def measured(db: Database, rows: dict[tuple[str, Venue], int], totals: dict[Venue, int]) -> TierMeasures:
    file = weekly_file.read([document(rows, totals)], WEEK)
    found = firm_totals.check(file, file.totals, WEEK)
    dimensions = Dimensions(db)
    with db.transaction():
        facts = facts_of.from_columns(dimensions, file.columns)
        if found.basis == FIRM_TOTAL:
            facts = facts._replace(totals=facts_of.totals_of(dimensions, found.totals, facts, file.columns.venues))
    return measure_tier(facts)


def hhi(volumes: list[int]) -> float:
    total = sum(volumes)
    return float(sum(Fraction(volume, total) ** 2 for volume in volumes))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_hhi_of_a_tier_is_that_of_the_unhidden_truth_and_those_of_symbols_lie_within_their_bounds(db: Database) -> None:
    for seed in range(40):
        truth = truth_of(seed)
        rows, firms = hide(truth), by_venue(truth)
        tier = measured(db, rows, firms)
        assert tier.tier.hhi == pytest.approx(hhi(list(firms.values())), rel=1e-15)
        for kind, found in (("ATS", tier.tier.ats_hhi), ("OTC", tier.tier.non_ats_hhi)):
            volumes = [volume for venue, volume in firms.items() if venue.venue_class == kind]
            assert found == (pytest.approx(hhi(volumes), rel=1e-15) if volumes else None)
        assert (tier.tier.venue_count, tier.tier.hidden_shares) == (len(firms), by_venue(rows).get(REST, 0))
        true = {symbol: [shares for (s, _), shares in truth.items() if s == symbol] for symbol, _ in truth}
        without = measured(db, rows, {})
        assert without.tier.hhi == pytest.approx(hhi(list(by_venue(rows).values())), rel=1e-15)
        for measures in (tier.symbols, without.symbols):
            bounds = sorted(zip(measures.shares.tolist(), measures.hhi_low.tolist(), measures.hhi.tolist(), strict=True))
            expected = sorted((sum(volumes), hhi(volumes)) for volumes in true.values())
            assert all(low <= exact + 1e-12 and exact <= high + 1e-12 for (_, low, high), (_, exact) in zip(bounds, expected, strict=True))
        assert (tier.symbols.hhi_low >= without.symbols.hhi_low).all()
