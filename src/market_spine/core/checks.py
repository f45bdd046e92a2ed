"""What the gates saw and found: figures and verdicts of every content judged, and the profiles of thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from market_spine import clock
from market_spine.core import events
from market_spine.core.events import Kind
from market_spine.db import Database
from market_spine.partition import DOMAIN, Partition

_CHECK = (
    "domain", "capture_id", "ingest_no", "position", "gate", "kind", "profile_id", "regime", "y", "expected", "low", "high", "z",
    "p", "n", "verdict", "explanation",
)
WEEKS = 60  # of history that a judgement looks at: a year, and eight weeks before it


class StoredFigures(NamedTuple):
    """The figures of a content as they are stored; `shape_json` is left out where it was not asked for."""

    capture_id: str
    content_hash: str
    week: str
    tier: str
    figures_json: str
    shape_json: str | None = None


class StoredCheck(NamedTuple):
    """A row of core_checks."""

    gate: str
    kind: str
    profile_id: str
    regime: str
    y: float | None
    expected: float | None
    low: float | None
    high: float | None
    z: float | None
    p: float | None
    n: int | None
    verdict: str
    explanation: str


class StoredJudgement(NamedTuple):
    """What a content was judged by."""

    profile_id: str
    figures_json: str
    shape_json: str
    past_json: str
    judged_at: str


class Decision(NamedTuple):
    """That a gate warned of, held or refused a content, and when."""

    gate: str
    verdict: str
    week: str
    tier: str
    judged_at: str
    explanation: str


def decisions(db: Database, before: str | None, of_each: int) -> list[Decision]:
    """The last decisions of each gate but its passes, by now or before a moment (a stamp), newest first."""
    rows = db.execute(
        """
        SELECT gate, verdict, week_ending, tier, judged_at, explanation FROM (
            SELECT c.gate, c.verdict, f.week_ending, f.tier, f.judged_at, c.explanation, c.capture_id,
                   ROW_NUMBER() OVER (PARTITION BY c.gate ORDER BY f.judged_at DESC, c.capture_id DESC) AS number
            FROM core_checks c
            JOIN finra_otc_transparency_version v ON v.capture_id = c.capture_id AND v.ingest_no = c.ingest_no
            JOIN finra_otc_transparency_figures f ON f.capture_id = c.capture_id AND f.content_hash = v.content_hash
            WHERE c.domain = ? AND c.verdict IN ('WARN', 'HOLD', 'REFUSE') AND f.judged_at < ?) decided
        WHERE number <= ? ORDER BY judged_at DESC, capture_id, gate
        """,
        (DOMAIN, before or "9", of_each),
    )
    return [Decision._make(row) for row in rows]


def record_figures(
    db: Database, content: StoredFigures, profile_id: str, past_json: str, now: datetime,
) -> None:
    """Stores the figures of a content, and what it was judged by. Call it inside a transaction."""
    db.execute(
        """
        INSERT INTO finra_otc_transparency_figures (capture_id, content_hash, week_ending, tier, profile_id, figures_json,
                                                    shape_json, past_json, judged_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (capture_id, content_hash) DO UPDATE SET profile_id = excluded.profile_id,
            figures_json = excluded.figures_json, shape_json = excluded.shape_json, past_json = excluded.past_json,
            judged_at = excluded.judged_at
        """,
        (
            content.capture_id, content.content_hash, content.week, content.tier, profile_id, content.figures_json,
            content.shape_json, past_json, clock.stamp(now),
        ),
    )


def record_checks(db: Database, capture_id: str, ingest_no: int, checks: Sequence[StoredCheck]) -> None:
    """Replaces the verdicts on a content. Call it inside a transaction."""
    db.execute(
        "DELETE FROM core_checks WHERE domain = ? AND capture_id = ? AND ingest_no = ?", (DOMAIN, capture_id, ingest_no)
    )
    rows = [(DOMAIN, capture_id, ingest_no, position, *check) for position, check in enumerate(checks)]
    db.bulk_insert("core_checks", _CHECK, rows)


def checks_of(db: Database, capture_id: str, ingest_no: int) -> list[StoredCheck]:
    """The verdicts on a content, in the order of the gates."""
    rows = db.execute(
        """
        SELECT gate, kind, profile_id, regime, y, expected, low, high, z, p, n, verdict, explanation FROM core_checks
        WHERE domain = ? AND capture_id = ? AND ingest_no = ? ORDER BY position
        """,
        (DOMAIN, capture_id, ingest_no),
    ).fetchall()
    return [StoredCheck._make(row) for row in rows]


def judgement_of(db: Database, capture_id: str, content_hash: str) -> StoredJudgement | None:
    """What a content was judged by; None where it never was."""
    row = db.execute(
        """
        SELECT profile_id, figures_json, shape_json, past_json, judged_at FROM finra_otc_transparency_figures
        WHERE capture_id = ? AND content_hash = ?
        """,
        (capture_id, content_hash),
    ).fetchone()
    return StoredJudgement._make(row) if row else None


def figures_of(db: Database, capture_id: str, content_hash: str) -> StoredFigures | None:
    """The figures of a content, with their spread."""
    row = db.execute(
        """
        SELECT capture_id, content_hash, week_ending, tier, figures_json, shape_json FROM finra_otc_transparency_figures
        WHERE capture_id = ? AND content_hash = ?
        """,
        (capture_id, content_hash),
    ).fetchone()
    return StoredFigures._make(row) if row else None


def accepted_before(db: Database, partition: Partition) -> list[StoredFigures]:
    """The figures of the current captures of a tier's last weeks before this one, oldest first, without their spread."""
    rows = db.execute(
        """
        SELECT f.capture_id, f.content_hash, f.week_ending, f.tier, f.figures_json
        FROM finra_otc_transparency_current c
        JOIN finra_otc_transparency_figures f ON f.capture_id = c.capture_id AND f.content_hash = c.content_hash
        WHERE c.tier = ? AND c.week_ending >= ? AND c.week_ending < ? ORDER BY c.week_ending DESC LIMIT ?
        """,
        (partition.tier, (partition.week_ending - timedelta(weeks=2 * WEEKS)).isoformat(), partition.week, WEEKS),
    ).fetchall()
    return [StoredFigures(*row) for row in reversed(rows)]


def accepted_around(db: Database, tier: str, own: tuple[date, date], others: tuple[date, date]) -> list[StoredFigures]:
    """The figures of the current captures of a tier in some weeks, and of the other tiers in others (both ends included), with
    their spread, by week and tier."""
    rows = db.execute(
        """
        SELECT f.capture_id, f.content_hash, f.week_ending, f.tier, f.figures_json, f.shape_json
        FROM finra_otc_transparency_current c
        JOIN finra_otc_transparency_figures f ON f.capture_id = c.capture_id AND f.content_hash = c.content_hash
        WHERE c.week_ending >= ? AND c.week_ending <= ? AND (c.tier = ? OR (c.week_ending >= ? AND c.week_ending <= ?))
        ORDER BY c.week_ending, c.tier
        """,
        (*(day.isoformat() for day in own), tier, *(day.isoformat() for day in others)),
    ).fetchall()
    return [StoredFigures._make(row) for row in rows]


def accepted_weeks(db: Database) -> dict[str, int]:
    """By tier, how many accepted weeks have figures."""
    rows = db.execute(
        """
        SELECT c.tier, COUNT(*) FROM finra_otc_transparency_current c
        JOIN finra_otc_transparency_figures f ON f.capture_id = c.capture_id AND f.content_hash = c.content_hash
        GROUP BY c.tier ORDER BY c.tier
        """
    ).fetchall()
    return dict(rows)


class StoredProfile(NamedTuple):
    """A row of core_gate_profiles."""

    profile_id: str
    fitted_at: str
    source: str
    thresholds_json: str


def profile_in_force(db: Database, before: str | None = None) -> StoredProfile | None:
    """The newest profile that was fitted, by now or before a moment; None where the built-in one is in force."""
    fitted = [profile for profile in profiles(db) if profile.fitted_at < (before or "9")]
    return fitted[-1] if fitted else None


def profiles(db: Database) -> list[StoredProfile]:
    """Every profile, oldest first."""
    rows = db.execute(
        """
        SELECT profile_id, fitted_at, source, thresholds_json FROM core_gate_profiles WHERE domain = ?
        ORDER BY fitted_at, profile_id
        """,
        (DOMAIN,),
    ).fetchall()
    return [StoredProfile._make(row) for row in rows]


def add_profile(db: Database, profile: StoredProfile) -> None:
    """Puts a profile in force. Call it inside a transaction."""
    db.execute(
        """
        INSERT INTO core_gate_profiles (profile_id, domain, fitted_at, source, thresholds_json) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (profile_id) DO UPDATE SET fitted_at = excluded.fitted_at
        """,
        (profile.profile_id, DOMAIN, profile.fitted_at, profile.source, profile.thresholds_json),
    )
    body = {"profile_id": profile.profile_id, "source": profile.source, "thresholds": profile.thresholds_json}
    events.record(db, Kind.GATE_FITTED, "gates", profile.fitted_at, **body)


def levels(db: Database, tier: str) -> list[date]:
    """The weeks from which on an operator accepted a new level of a tier, oldest first."""
    rows = db.execute(
        "SELECT since_week FROM core_gate_levels WHERE domain = ? AND tier = ? ORDER BY since_week", (DOMAIN, tier)
    )
    return [date.fromisoformat(week) for (week,) in rows.fetchall()]


def add_level(db: Database, partition: Partition, *, by: str, reason: str, now: datetime) -> None:
    """Lets the history of a tier begin anew with a week. Call it inside a transaction."""
    db.execute(
        """
        INSERT INTO core_gate_levels (domain, tier, since_week, accepted_at, accepted_by, reason) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (domain, tier, since_week) DO UPDATE SET accepted_at = excluded.accepted_at,
            accepted_by = excluded.accepted_by, reason = excluded.reason
        """,
        (DOMAIN, partition.tier, partition.week, clock.stamp(now), by, reason),
    )
