"""What to notify: one event per (kind, week, tier), sent when it begins and when it is over, silent in between.

A kind is an anomaly's category, RUN_FAILED, or WORK_ITEM_FAILED. The key of an event never changes, so that a service
which joins messages by key (PagerDuty) closes the incident it opened. An acknowledged event is silent until its date.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from enum import Enum
from typing import NamedTuple

from market_spine import clock
from market_spine.core.anomalies import CRITICAL, ERROR, WARN
from market_spine.db import Database

NOTICE = "NOTICE"  # news: nothing is wrong
LEVELS: Mapping[str, tuple[str, str, str]] = {
    NOTICE: (WARN, ERROR, CRITICAL),
    WARN: (WARN, ERROR, CRITICAL),
    ERROR: (ERROR, CRITICAL, CRITICAL),
    CRITICAL: (CRITICAL, CRITICAL, CRITICAL),
}
RUN_FAILED, WORK_ITEM_FAILED, RESTATED, TEST = "RUN_FAILED", "WORK_ITEM_FAILED", "RESTATED", "TEST"
CRITICAL_EXIT = 2


class Action(str, Enum):
    """What a notification reports of an event."""

    BEGAN = "began"
    STILL = "still there"
    OVER = "over"
    NEWS = "news"  # sent once; it does not last, and so it is never over


@dataclass(frozen=True, slots=True)
class Event:
    """Something unresolved: kind, partition, severity, since when. `silent_until` is the date it was acknowledged to."""

    kind: str
    week: str | None
    tier: str | None
    severity: str
    message: str
    since: datetime
    hint: str | None = None
    silent_until: datetime | None = None

    @property
    def key(self) -> str:
        """`market_spine:SOURCE_UNAVAILABLE:2025-12-26:OTC`; a dash where there is no week or tier."""
        return f"market_spine:{self.kind}:{self.week or '-'}:{self.tier or '-'}"

    @property
    def where(self) -> str:
        return " / ".join(part for part in (self.week, self.tier) if part)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The last notification a channel got of an event; `over_at` is set when it reported the end."""

    event: Event
    sent_at: datetime
    over_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to be sent."""

    action: Action
    event: Event


def decide(unresolved: Mapping[str, Event], delivered: Mapping[str, Delivered], now: datetime) -> list[Notice]:
    """The notifications a channel must get now, given the unresolved events and what was delivered; both by key."""
    notices = [Notice(Action.OVER, d.event) for key, d in delivered.items() if d.over_at is None and key not in unresolved]
    for key, event in unresolved.items():
        action = _action(event, delivered.get(key), now)
        if action:
            notices.append(Notice(action, event))
    return notices


def _action(event: Event, last: Delivered | None, now: datetime) -> Action | None:
    """BEGAN for one not notified yet; STILL for one acknowledged since its notification, once that has expired. Of news, NEWS
    for what is newer than the last one of its key."""
    if event.severity == NOTICE:
        return Action.NEWS if last is None or last.event.since < event.since else None
    if event.silent_until is not None and event.silent_until > now:
        return None
    if last is None or last.over_at is not None:
        return Action.BEGAN
    expired = event.silent_until is not None and event.silent_until > last.sent_at
    return Action.STILL if expired else None


def title(notice: Notice) -> str:
    """`Market Spine: SOURCE_UNAVAILABLE 2025-12-26 / OTC`, prefixed by the action unless it begins."""
    word = {Action.BEGAN: "", Action.STILL: "still there: ", Action.OVER: "over: ", Action.NEWS: ""}[notice.action]
    return f"Market Spine: {word}{notice.event.kind} {notice.event.where}".rstrip()


def body(notice: Notice, context: Mapping[str, str], card: str = "") -> str:
    """The card, if there is one; the message, what to do next, since when; then the entries of `context` and the key."""
    event = notice.event
    lines = [card, "", event.message] if card else [event.message]
    if event.hint and notice.action is not Action.OVER:
        lines.append(f"Try: {event.hint}")
    facts = {"severity": event.severity, "since": clock.stamp(event.since), **context, "key": event.key}
    return "\n".join([*lines, "", *(f"{name}: {value}" for name, value in facts.items() if value)])


def channel_id(url: str) -> str:
    """Identifies a notification URL without revealing it."""
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def unresolved_events(db: Database, level: str, extra: Iterable[Event] = ()) -> dict[str, Event]:
    """The unresolved events, by key: anomalies of that severity and above, failed work items, and `extra`; at the lowest level
    also what the last weekly run took in that FINRA restated."""
    events: dict[str, Event] = {}
    news = _restatements(db) if level == NOTICE else []
    for event in (*_anomalies(db, level), *_work_items(db), *_last_run(db), *news, *extra):
        before = events.get(event.key)
        events[event.key] = event if before is None else _joined(before, event)
    return events


def _joined(first: Event, second: Event) -> Event:
    """Two faults of one key: the older date, the higher severity; silent only while both are."""
    order = list(LEVELS)
    worst = max(first.severity, second.severity, key=lambda severity: order.index(severity) if severity in order else -1)
    dates = [event.silent_until for event in (first, second) if event.silent_until]
    return replace(
        second,
        severity=worst,
        since=min(first.since, second.since),
        silent_until=min(dates) if len(dates) == 2 else None,
    )


class _AnomalyRow(NamedTuple):
    """An unresolved anomaly, in the order of the SELECT below."""

    category: str
    week: str | None
    tier: str | None
    severity: str
    message: str
    detected_at: str
    details_json: str | None
    acknowledged_until: str | None

    def as_event(self) -> Event:
        return Event(
            self.category, self.week, self.tier, self.severity, self.message, datetime.fromisoformat(self.detected_at),
            hint=_hint(self.details_json), silent_until=_until(self.acknowledged_until),
        )


def _anomalies(db: Database, level: str) -> list[Event]:
    rows = db.execute(
        """
        SELECT category, json_extract(partition_key, '$.week_ending'), json_extract(partition_key, '$.tier'), severity, message,
               detected_at, details_json, acknowledged_until
        FROM core_anomalies WHERE resolved_at IS NULL AND severity IN (?, ?, ?) ORDER BY id
        """,
        LEVELS[level],
    )
    return [_AnomalyRow._make(row).as_event() for row in rows]


class _FailedItemRow(NamedTuple):
    """A FAILED work item, in the order of the SELECT below."""

    week: str | None
    tier: str | None
    pipeline: str
    last_error: str | None
    failed_at: str

    def as_event(self) -> Event:
        message, since = f"{self.pipeline} gave up: {self.last_error}", datetime.fromisoformat(self.failed_at)
        hint = "spine work retry --failed --reason 'the cause is gone'"
        return Event(WORK_ITEM_FAILED, self.week, self.tier, ERROR, message, since, hint=hint)


def _work_items(db: Database) -> list[Event]:
    rows = db.execute(
        """
        SELECT json_extract(partition_key, '$.week_ending'), json_extract(partition_key, '$.tier'), pipeline, last_error,
               COALESCE(last_error_at, updated_at)
        FROM core_work_items WHERE state = 'FAILED' ORDER BY id
        """
    )
    return [_FailedItemRow._make(row).as_event() for row in rows]


def _last_run(db: Database) -> list[Event]:
    last = db.execute(
        """
        SELECT exit_code, finished_at, error FROM core_executions
        WHERE pipeline = 'weekly_schedule' AND json_extract(arguments_json, '$.work_item') IS NULL AND exit_code IS NOT NULL
        ORDER BY finished_at DESC, started_at DESC LIMIT 1
        """
    ).fetchone()
    if last is None:
        return []
    exit_code, finished_at, error = last
    if exit_code != CRITICAL_EXIT:
        return []
    message = error or "every partition of the run failed"
    return [Event(RUN_FAILED, None, None, CRITICAL, message, datetime.fromisoformat(finished_at))]


def _restatements(db: Database) -> list[Event]:
    """One event for each restatement of the last weekly run."""
    last = db.execute(
        """
        SELECT finished_at, outcomes_json FROM core_executions
        WHERE pipeline = 'weekly_schedule' AND json_extract(arguments_json, '$.work_item') IS NULL AND outcomes_json IS NOT NULL
        ORDER BY finished_at DESC, started_at DESC LIMIT 1
        """
    ).fetchone()
    if last is None:
        return []
    finished_at, report = last
    since, restated = datetime.fromisoformat(finished_at).replace(microsecond=0), json.loads(report).get("restatements", [])
    places = ((each["week_ending"], each["tier"], each["text"]) for each in restated)
    return [Event(RESTATED, week, tier, NOTICE, text, since, f"spine diff {week} {tier}") for week, tier, text in places]


def _hint(details: str | None) -> str | None:
    hint = json.loads(details).get("hint") if details else None
    return hint if isinstance(hint, str) else None


def _until(text: str | None) -> datetime | None:
    """The date of an acknowledgement means the start of that day in New York; a full timestamp is used as it is."""
    if not text:
        return None
    if len(text) == 10:
        return datetime.combine(date.fromisoformat(text), time(), clock.market_zone())
    return datetime.fromisoformat(text)
