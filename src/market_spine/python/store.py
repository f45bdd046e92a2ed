"""A store, and the queries of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Literal, get_args

from market_spine.calendar.tiers import tier_of
from market_spine.core.store import Mode, open_store
from market_spine.db import is_postgres, redact, resolve
from market_spine.errors import UsageError
from market_spine.partition import TIERS, check_friday, parse_week, weeks_between
from market_spine.python.provenance import Provenance, provenance
from market_spine.python.query import NotReadyRule, Query, plain_day
from market_spine.python.result import Result
from market_spine.query.answer import Question
from market_spine.query.readiness import READINESS, TRADING
from market_spine.query.views import VIEWS

Week = date | str
Weeks = Week | Iterable[Week] | None
Measure = Literal["venue_share", "hhi", "totals", "symbol"]


def open(db: str | os.PathLike[str]) -> Store:
    """Opens a store for reading.

    `db` is a path or a PostgreSQL URL. Nothing is kept open: each query opens the database, reads one moment of it and closes it,
    so a `Store` may be kept, copied and used from several threads, while a run writes.

    Raises `ConfigurationError` where no store is, `DatabaseError` for one that cannot be read or that needs `spine db migrate`.

    >>> store = market_spine.open("data/market_spine.db")
    """
    return Store(db)


class Store:
    """A store opened for reading: its methods return queries, which nothing is read for until they are run.

    All of them take:

    - `week`: a Friday as text or as a date, a range `"2025-10-03..2025-12-26"`, or a list of these; without it, every week.
    - `tier`: `NMS_TIER_1`, `NMS_TIER_2`, `OTC`, or FINRA's `T1`, `T2`, `OTCE`; without it, all of them.
    - `symbol`: as FINRA writes it; case counts.
    - `not_ready`: what becomes of a week of a tier that is not ready (missing, held, not measured, or with an unresolved CRITICAL
      anomaly). `"refuse"` raises `NotReady`, `"omit"` leaves it out, `"include"` takes it; `readiness` of the result lists it.

    Raises `InvalidWeek`, `UnknownTier`.
    """

    def __init__(self, db: str | os.PathLike[str]) -> None:
        target = resolve(os.fspath(db))
        self._name = redact(target)
        self._target = target if is_postgres(target) else str(Path(target).absolute())  # wherever the process goes
        with open_store(self._target, Mode.READ_ONLY):
            pass  # what is not a store is refused here, and not by the first query

    def __repr__(self) -> str:
        return f"market_spine.open({self._name!r})"

    def weeks(self, *, week: Weeks = None, tier: str | None = None, ready_for: str = "trading") -> Query:
        """Which weeks are ready, and what blocks the others.

        - Shape: a row for each week (`tier` is None) and for each of its tiers, by week; the columns of `spine query readiness`:
          `week_ending`, `tier`, `is_ready` (1 or 0), `blocking_issues` (text), `judged_at` (UTC), and `lag_days`.
        - Units: `lag_days` is how many days after its Friday the day came, in New York, since which it has been ready; None
          while it is not.
        - Source: the judgements in the log of events; `NotFound` is raised as of a day before that log began. Every purpose is
          judged by the same rule: another `ready_for` returns those weeks and tiers that `evaluate_readiness` was called for
          with that purpose, and raises `UsageError` where there are none

        >>> for row in store.weeks(week="2025-11-28..2025-12-05", tier="T1").latest().rows():
        ...     print(row.week_ending, row.tier, row.is_ready, row.blocking_issues, row.lag_days)
        2025-11-28 None 0 Missing tiers: NMS_TIER_1, NMS_TIER_2, OTC None
        2025-11-28 NMS_TIER_1 0 Missing tiers: NMS_TIER_1 None
        2025-12-05 None 1 None 35
        2025-12-05 NMS_TIER_1 1 None 35
        """
        question = Question(READINESS, _weeks(week), _tiers(tier), ready_for=ready_for)
        named = None if ready_for == TRADING else ready_for
        return self._query("weeks", question, "include", week=week, tier=tier, ready_for=named)

    def volume(
        self, symbol: str | None = None, *, week: Weeks = None, tier: str | None = None, not_ready: NotReadyRule = "refuse"
    ) -> Query:
        """FINRA's rows: what each venue traded of each security in a week.

        - Shape: a row for each security and venue; the columns of the view `normalized`.
        - Units: `total_shares` in shares (up to six decimals), `total_trades` in trades, `total_notional` in US dollars or NULL.
        - Source: FINRA's weekly summaries by symbol and firm; `published_on` and `revised_on` are FINRA's dates of the row.

        Raises `NotFound` for a symbol that nothing is stored of; case matters.

        The releases of a row are dated by FINRA where that is possible (`basis` is `declared`), otherwise by our captures
        (`observed`). A row that was revised before the first capture has no first release: its figures are NULL.

        >>> query = store.volume("BF.A", week="2025-12-26", tier="T1")
        >>> for row in query.all_releases().rows():
        ...     if row.mpid == "LQNA":
        ...         print(row.total_shares, row.total_trades, row.basis, row.known_from, row.known_to)
        1821 1 declared 2026-01-12 2026-01-28
        2003 2 declared 2026-01-28 None
        """
        question = Question(VIEWS["normalized"], _weeks(week), _tiers(tier), symbol)
        return self._query("volume", question, not_ready, symbol=symbol, week=week, tier=tier)

    def venue_share(
        self, *, tier: str | None = None, week: Weeks = None, symbol: str | None = None, not_ready: NotReadyRule = "refuse"
    ) -> Query:
        """Each venue's share of the volume: of a tier, or of one symbol.

        - Shape: a row for each venue, by rank (of a symbol: by name); the columns of the view `venue_share`, with a symbol of
          `symbol_venue_share`.
        - Units: `share` is a fraction from 0 to 1, and those of a week and tier add up to 1; `total_shares` in shares.
        - Source: calculated. `basis` is `firm_total` where FINRA's totals of firms fit its rows, else `symbol_rows`: then the
          firms that FINRA does not name are one venue, `De Minimis Firms`.

        >>> for row in store.venue_share(tier="T1", week="2025-12-26").latest().rows()[:3]:
        ...     print(row.rank, row.venue_name, round(row.share, 4))
        1 De Minimis Firms 0.2819
        2 HARBORLIGHT SECURITIES LLC 0.1614
        3 MERIDIAN CREST AMERICAS LLC 0.1431
        """
        view = VIEWS["venue_share" if symbol is None else "symbol_venue_share"]
        question = Question(view, _weeks(week), _tiers(tier), symbol)
        return self._query("venue_share", question, not_ready, tier=tier, week=week, symbol=symbol)

    def hhi(
        self, *, tier: str | None = None, week: Weeks = None, symbol: str | None = None, every_symbol: bool = False,
        not_ready: NotReadyRule = "refuse",
    ) -> Query:
        """Concentration over venues (Herfindahl-Hirschman): of a tier, of one symbol, or, with `every_symbol`, of both.

        - Shape: a row for each week and tier, and one for each symbol asked for; the columns of the view `hhi`.
        - Units: `hhi` is a fraction from 0 to 1, where 1 is a single venue, and NULL without volume; `hhi_low` and `hhi_high` are
          its bounds; `total_shares` in shares, `venue_count` in venues.
        - Source: calculated, on the same `basis` as `venue_share`.

        >>> for row in store.hhi(tier="T1", week="2025-12-26").all_releases().rows():
        ...     print(round(row.hhi, 4), row.known_from, row.known_to)
        0.1389 2026-01-09 2026-01-30
        0.1386 2026-01-30 None
        """
        asked = None if every_symbol else symbol or ""  # in the view, '' stands for the tier
        question = Question(VIEWS["hhi"], _weeks(week), _tiers(tier), asked)
        return self._query("hhi", question, not_ready, tier=tier, week=week, symbol=symbol, every_symbol=every_symbol or None)

    def rolling(
        self, measure: Measure, *, length: int | None = None, tier: str | None = None, week: Weeks = None,
        symbol: str | None = None, not_ready: NotReadyRule = "refuse",
    ) -> Query:
        """A measure over the 6 or 13 weeks (or the lengths that the store keeps) that end with a week.

        `measure` is `venue_share`, `hhi`, `totals` or `symbol`; only the last takes a `symbol`, and without one shows them all.

        - Shape: a row for each window, and in it for each venue (`venue_share`) or symbol (`symbol`); the columns of the views
          `rolling_venue_share`, `rolling_hhi`, `rolling_totals`, `rolling_symbol`. A window that lacks a week is a row without
          figures, and `reason` names the week.
        - Units: shares of volume and HHI from 0 to 1, slopes per week, volumes in shares.
        - Source: calculated from exactly the captures that were current; `UsageError` is raised for a length that is not kept

        >>> for row in store.rolling("hhi", length=6, tier="OTC", week="2026-01-02..2026-01-09").latest().rows():
        ...     print(row.week_ending, row.hhi and round(row.hhi, 4), row.reason)
        2026-01-02 None 2025-11-28 OTC missing
        2026-01-09 0.2596 None
        """
        view = VIEWS.get(f"rolling_{measure}")
        if view is None:
            raise UsageError(f"there is no rolling measure {measure!r}", hint="venue_share, hhi, totals or symbol")
        if symbol is not None and view.of_symbol is None:
            raise UsageError(f"rolling {measure!r} is of a tier, not of a symbol", hint="rolling('symbol', symbol=…)")
        question = Question(view, _weeks(week), _tiers(tier), symbol, length=length)
        return self._query(
            "rolling", question, not_ready, measure=measure, length=length, tier=tier, week=week, symbol=symbol
        )

    def provenance(self, result: Result) -> Provenance:
        """Where the figures of a result come from, to be cited; `str()` of it is text of a few lines.

        >>> print(store.provenance(store.hhi(tier="T1", week="2025-12-26").as_of("2026-01-09")))  # doctest: +ELLIPSIS
        hhi(tier='T1', week='2025-12-26').as_of('2026-01-09'), 1 rows, sha256:...
        market-spine ..., basis observed
        checkpoint market-spine/...
          finra.otc_transparency:NMS_TIER_1:2025-12-26:20260109 sha256:...
        """
        return provenance(result, self._name)

    def _query(self, name: str, question: Question, not_ready: NotReadyRule, **asked: object) -> Query:
        if not_ready not in get_args(NotReadyRule):
            raise UsageError(f"not_ready={not_ready!r} is not a rule", hint='not_ready="omit", or not_ready="include"')
        if not isinstance(question.symbol, (str, type(None))):
            raise UsageError(f"symbol={question.symbol!r} is not one symbol", hint="one query for each symbol")
        if not isinstance(asked["week"], (date, str, list, tuple, type(None))):  # an index, a column of a frame, a generator
            asked["week"] = list(question.weeks or ())
        given = {key: value for key, value in asked.items() if value is not None}
        text = ", ".join(f"{key}={_shown(value)}" for key, value in given.items())
        return Query(self._target, question, f"{name}({text})", not_ready)


def _shown(value: object) -> str:
    """An argument as it may be typed again."""
    if isinstance(value, date):
        return repr(str(plain_day(value)))
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_shown, value))}]"
    return repr(value)


def _weeks(given: Weeks) -> tuple[date, ...] | None:
    """A Friday, a range `FIRST..LAST`, or several of them; None for every week. Raises InvalidWeek."""
    if given is None:
        return None
    several = given if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    return tuple(sorted({week for each in several for week in _fridays(each)}))


def _fridays(given: Week) -> list[date]:
    if isinstance(given, date):
        return [check_friday(plain_day(given))]
    first, is_range, last = str(given).partition("..")
    return weeks_between(parse_week(first), parse_week(last if is_range else first))


def _tiers(given: str | None) -> tuple[str, ...]:
    return TIERS if given is None else (tier_of(str(given)),)
