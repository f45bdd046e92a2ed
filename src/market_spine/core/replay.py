"""State as the events add up to it: captures, the current one of each partition, readiness and open anomalies.

Replayed to the end it must equal the tables (`differences`); replayed up to a moment it is what was known then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from market_spine.core import bodies, events, judgements
from market_spine.core.events import Kind, Line, subject_of
from market_spine.core.judgements import Judged
from market_spine.db import Database
from market_spine.partition import DOMAIN


@dataclass(slots=True)
class CaptureState:
    """A capture that is kept. `contents` by ingest number; `normalized` is the number of the one that its rows are made of."""

    partition: str
    run_date: str
    contents: dict[int, Content] = field(default_factory=dict)
    normalized: int | None = None
    normalized_at: str | None = None
    measured: int | None = None
    measured_at: str | None = None
    rows: int | None = None
    shares: str | None = None
    withdrawn_at: str | None = None
    withdrawn_reason: str | None = None
    held: int | None = None  # the number of the content that is held, and since when, by which gate and why
    held_at: str | None = None
    held_by: str | None = None
    held_reason: str | None = None
    pinned: str | None = None
    set_aside: set[int] = field(default_factory=set)

    @property
    def rows_are_held(self) -> bool:
        """Whether it holds rows of the content that is held; else only the bytes of that wait."""
        return self.held is not None and self.held == self.normalized

    @property
    def newest(self) -> int:
        """The number of the content that its next rows will be made of."""
        return max(self.contents.keys() - self.set_aside)

    @property
    def shown(self) -> Content:
        """The content whose rows it holds, and its latest one while it holds none."""
        return self.contents[self.normalized if self.normalized is not None else max(self.contents)]


class Content(NamedTuple):
    """A content that was stored for a capture."""

    content_hash: str
    observed_at: str
    lines: int


@dataclass(slots=True)
class AnomalyState:
    """An anomaly; `closed_at` is None while it is open."""

    subject: str
    at: str
    body: Mapping[str, Any]
    closed_at: str | None = None
    note: str | None = None


class WeekResult(NamedTuple):
    """A week-level result, and the captures it was made from, by tier."""

    week: str
    at: str
    made_from: Mapping[str, Mapping[str, Any]]


class Window(NamedTuple):
    """A window, by what identifies it."""

    partition: str
    length: int
    inputs_hash: str

    def __str__(self) -> str:
        return f"window {self.inputs_hash} of {self.length} weeks to {self.partition}"


@dataclass(slots=True)
class State:
    """What the events add up to; subjects are `2026-01-09` or `2026-01-09/OTC`."""

    captures: dict[str, CaptureState] = field(default_factory=dict)
    readiness: dict[str, Judged] = field(default_factory=dict)
    anomalies: dict[int, AnomalyState] = field(default_factory=dict)
    week_results: dict[str, WeekResult] = field(default_factory=dict)
    windows: dict[Window, tuple[str | None, str]] = field(default_factory=dict)  # → its HHI and shares, as events hold them

    @property
    def current(self) -> dict[str, str]:
        """By partition, the newest capture that is normalized, and neither withdrawn nor held."""
        standing = ((c.run_date, capture_id, c) for capture_id, c in self.captures.items())
        return {
            capture.partition: capture_id
            for _, capture_id, capture in sorted(standing, key=lambda each: each[0])
            if capture.normalized is not None and capture.withdrawn_at is None and not capture.rows_are_held
        }

    def apply(self, entry: Mapping[str, Any]) -> None:
        """Takes one event in. Raises KeyError when it is about a capture or content that no earlier event stored."""
        change = _CHANGES.get(entry["kind"])
        if change is not None:
            change(self, entry, bodies.full(entry))


def replay(lines: Iterable[Line], before: str | None = None) -> State:
    """The state after these lines; with `before` (a stamp), after those of them that were written before it.

    After a run of a mistaken day in the future, the stamps are not in order: what an event says of something that was made only
    after `before` (that its capture is withdrawn, its anomaly closed) is left out with it.
    """
    state, later = State(), set[object]()
    for line in lines:
        entry = json.loads(line.line)
        if before is not None and entry["at"] >= before:
            if entry["kind"] in _MAKES:
                later |= _about(entry) - state.captures.keys() - state.anomalies.keys()
        elif not (later and later & _about(entry)):
            state.apply(entry)
    return state


def _about(entry: Mapping[str, Any]) -> set[object]:
    """The id of the capture or the number of the anomaly that an event is about."""
    body = bodies.full(entry)
    return {body[name] for name in ("capture_id", "id") if name in body}


def _stored(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    content = Content(body["content_hash"], body.get("observed_at", entry["at"]), body["lines"])
    capture = state.captures.setdefault(body["capture_id"], CaptureState(entry["subject"], body["run_date"]))
    capture.contents[body["ingest_no"]] = content


def _normalized(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    capture = state.captures[body["capture_id"]]
    _ = capture.contents[body["ingest_no"]]  # KeyError for rows of a content that was never stored
    if capture.normalized != body["ingest_no"]:
        capture.measured = None  # the measures of rows that are replaced go with them
    capture.normalized, capture.normalized_at = body["ingest_no"], body.get("normalized_at", entry["at"])
    capture.rows, capture.shares = body["rows"], body["shares"]


def _measured(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    capture = state.captures[body["capture_id"]]
    capture.measured, capture.measured_at = body["ingest_no"], entry["at"]


def _rejected(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    if body["category"] is None:
        state.captures[body["capture_id"]].set_aside.add(body["ingest_no"])


def _withdrawn(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    capture = state.captures[body["capture_id"]]
    capture.withdrawn_at, capture.withdrawn_reason = body.get("withdrawn_at", entry["at"]), body.get("reason")


def _restored(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    state.captures[body["capture_id"]].withdrawn_at = None


def _held(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    capture = state.captures[body["capture_id"]]
    capture.held, capture.held_at = body["ingest_no"], entry["at"]
    capture.held_by, capture.held_reason = body["gate"], body["reason"]


def _released(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    state.captures[body["capture_id"]].held = None


def _pruned(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    del state.captures[body["capture_id"]]


def _pinned(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    state.captures[body["capture_id"]].pinned = body["name"]


def _week_made(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    state.week_results[body["result_id"]] = WeekResult(entry["subject"], entry["at"], body.get("made_from", {}))


def _window_made(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    for made in body.get("windows", [body]):
        window = Window(entry["subject"], made["length"], made["inputs_hash"])
        state.windows[window] = (made["hhi"], made["total_shares"])


def _judged(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    state.readiness.update(judgements.read(entry))


def _opened(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    first = state.anomalies.get(body["id"])
    state.anomalies[body["id"]] = AnomalyState(entry["subject"], first.at if first else entry["at"], body)


def _closed(state: State, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    anomaly = state.anomalies[body["id"]]
    anomaly.closed_at, anomaly.note = entry["at"], body["note"]


_CHANGES: dict[str, Callable[[State, Mapping[str, Any], Mapping[str, Any]], None]] = {
    Kind.CAPTURE_STORED.value: _stored,
    Kind.CAPTURE_NORMALIZED.value: _normalized,
    Kind.CAPTURE_MEASURED.value: _measured,
    Kind.CAPTURE_REJECTED.value: _rejected,
    Kind.CAPTURE_WITHDRAWN.value: _withdrawn,
    Kind.CAPTURE_RESTORED.value: _restored,
    Kind.CAPTURE_HELD.value: _held,
    Kind.CAPTURE_RELEASED.value: _released,
    Kind.CAPTURE_PRUNED.value: _pruned,
    Kind.CAPTURE_PINNED.value: _pinned,
    Kind.WEEK_MADE.value: _week_made,
    Kind.WINDOW_MADE.value: _window_made,
    Kind.READINESS_CHANGED.value: _judged,
    Kind.ANOMALY_OPENED.value: _opened,
    Kind.ANOMALY_CLOSED.value: _closed,
}


_MAKES = (Kind.CAPTURE_STORED.value, Kind.ANOMALY_OPENED.value)


class Difference(NamedTuple):
    """What the tables and the events say differently of one thing."""

    subject: str
    events: object
    tables: object

    def __str__(self) -> str:
        events, tables = _apart(self.events, self.tables)
        return f"{self.subject}: the events say {events}, the tables {tables}"


def differences(db: Database, state: State) -> list[Difference]:
    """Everything of which the tables show another state than the events add up to."""
    pairs: list[tuple[Mapping[str, object], Mapping[str, object]]] = [
        ({name: _facts(capture) for name, capture in state.captures.items()}, _captures(db)),
        ({f"current capture of {p}": c for p, c in state.current.items()}, _current(db)),
        ({f"readiness of {subject}": judged for subject, judged in state.readiness.items()}, _readiness(db)),
        ({f"anomaly {n}": (a.body["category"], a.subject) for n, a in _open(state).items()}, _anomalies(db)),
    ]
    different = [
        Difference(subject, by_events.get(subject), by_tables.get(subject))
        for by_events, by_tables in pairs
        for subject in sorted(by_events.keys() | by_tables.keys())
        if by_events.get(subject) != by_tables.get(subject)
    ]
    results = db.execute("SELECT capture_id FROM finra_otc_transparency_week ORDER BY capture_id").fetchall()
    different += [Difference(name, None, "a result of the week") for (name,) in results if name not in state.week_results]
    return different + [
        Difference(str(window), state.windows.get(window), figures)
        for window, figures in _windows(db).items()
        if state.windows.get(window) != figures
    ]


def _open(state: State) -> dict[int, AnomalyState]:
    return {number: anomaly for number, anomaly in state.anomalies.items() if anomaly.closed_at is None}


def _facts(capture: CaptureState) -> CaptureFacts:
    shown = capture.shown
    return CaptureFacts(
        capture.partition, capture.run_date, shown.content_hash, shown.observed_at, capture.normalized, capture.normalized_at,
        capture.measured, capture.rows, capture.shares, capture.withdrawn_at, capture.pinned,
        capture.held_at if capture.rows_are_held else None,
    )


class CaptureFacts(NamedTuple):
    """What the events and the tables must say alike of a capture."""

    partition: str
    run_date: str
    content_hash: str
    observed_at: str
    normalized: int | None
    normalized_at: str | None
    measured: int | None
    rows: int | None
    shares: str | None
    withdrawn_at: str | None
    pinned: str | None
    held_at: str | None


def _captures(db: Database) -> dict[str, object]:
    rows = db.execute(
        """
        SELECT c.capture_id, m.metadata_json, measured.metadata_json, c.week_ending || '/' || c.tier, c.run_date, c.content_hash,
               c.captured_at, NULL, c.normalized_at, NULL, c.row_count, c.total_shares, c.withdrawn_at, c.pinned_as,
               c.held_at
        FROM finra_otc_transparency_capture c
        LEFT JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = 'NORMALIZED'
        LEFT JOIN core_manifest measured ON measured.capture_id = c.capture_id AND measured.stage = 'CALC'
        """
    )
    captures: dict[str, object] = {}
    for capture_id, normalized, measured, *facts in rows:
        made = CaptureFacts._make(facts)
        captures[capture_id] = made._replace(
            normalized=_ingest_no(normalized), measured=_ingest_no(measured), shares=events.figure(made.shares)
        )
    return captures


def _ingest_no(metadata: str | None) -> int | None:
    return json.loads(metadata)["ingest_no"] if metadata else None


def _current(db: Database) -> dict[str, object]:
    rows = db.execute("SELECT week_ending || '/' || tier, capture_id FROM finra_otc_transparency_current")
    return {f"current capture of {partition}": capture_id for partition, capture_id in rows}


def _readiness(db: Database) -> dict[str, object]:
    rows = db.execute(
        "SELECT partition_key, is_ready, blocking_issues FROM core_data_readiness WHERE domain = ? AND ready_for = 'trading'",
        (DOMAIN,),
    )
    judged = {subject_of(key): Judged(bool(is_ready), _issues(issues)) for key, is_ready, issues in rows}
    return {f"readiness of {subject}": judgement for subject, judgement in judged.items()}


def _issues(text: str | None) -> tuple[str, ...]:
    try:
        return tuple(json.loads(text or "[]"))
    except ValueError:  # changed behind the program: it shall be named, not end the check
        return (str(text),)


class _WindowRow(NamedTuple):
    """A window as the tables hold it."""

    partition: str
    length: int
    inputs_hash: str
    hhi: float | None
    total_shares: float


def _windows(db: Database) -> dict[Window, tuple[str | None, str | None]]:
    rows = db.execute(
        """
        SELECT w.week_ending || '/' || w.tier, w.length, w.inputs_hash, t.hhi, t.total_shares FROM finra_otc_transparency_window w
        JOIN finra_otc_transparency_window_tier t ON t.window_key = w.window_key ORDER BY w.window_key
        """
    )
    return {
        Window(row.partition, row.length, row.inputs_hash): (events.figure(row.hhi), events.figure(row.total_shares))
        for row in map(_WindowRow._make, rows)
    }


def _anomalies(db: Database) -> dict[str, object]:
    rows = db.execute("SELECT id, category, partition_key FROM core_anomalies WHERE resolved_at IS NULL")
    return {f"anomaly {number}": (category, subject_of(key)) for number, category, key in rows}


def _apart(one: object, other: object) -> tuple[str, str]:
    """Both in words; of two states of the same kind only the fields in which they differ."""
    if not isinstance(one, (CaptureFacts, Judged)) or not isinstance(other, type(one)):
        return _shown(one), _shown(other)
    names = [name for name, mine, its in zip(one._fields, one, other, strict=True) if mine != its]
    mine, its = (", ".join(f"{name} {_shown(getattr(state, name))}" for name in names) for state in (one, other))
    return mine, its


def _shown(value: object) -> str:
    if isinstance(value, CaptureFacts):
        return "that it is there"
    if isinstance(value, Judged):
        return f"is_ready {value.is_ready}, issues {_shown(value.issues)}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "nothing" if value is None else f"{value!r}" if isinstance(value, str) else str(value)
