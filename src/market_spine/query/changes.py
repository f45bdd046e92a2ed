"""The events of the log for people and programs: since a cursor, or the story of a week."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

from market_spine.core import bodies, events, judgements
from market_spine.core.events import Kind
from market_spine.db import Database
from market_spine.partition import TIERS

Entry = Mapping[str, Any]


def since(db: Database, cursor: int, limit: int) -> list[dict[str, Any]]:
    """At most `limit` events after the event `cursor`, oldest first."""
    return [json.loads(line.line) for line in events.lines(db, cursor, cursor + limit)]


def of_week(db: Database, week: date, tiers: Iterable[str] = TIERS) -> list[dict[str, Any]]:
    """Everything that happened to a week and to these tiers of it, oldest first."""
    subjects = (str(week), *(f"{week}/{tier}" for tier in tiers))
    entries = [
        (seq, json.loads(line))
        for subject in subjects
        for seq, line in db.execute(
            "SELECT seq, line FROM core_events WHERE json_extract(line, '$.subject') = ? ORDER BY seq", (subject,)
        )
    ]
    return [entry for _, entry in sorted(entries, key=lambda pair: pair[0])]


class Line(NamedTuple):
    """An event as a person reads it."""

    at: str
    subject: str
    words: str

    def __str__(self) -> str:
        return f"{self.at}  {self.subject}: {self.words}"


def story(entries: Iterable[Entry], tiers: Collection[str] = TIERS) -> Iterator[str]:
    """The events of a week and of these tiers as lines a person reads."""
    return map(str, lines(entries, tiers))


def lines(entries: Iterable[Entry], tiers: Collection[str] = TIERS) -> Iterator[Line]:
    """The same by their parts: rows normalized anew are compared with those before them, and of the
    judgements of one run only the last is shown."""
    entries, before = [part for entry in entries for part in _parts(entry, tiers)], dict[str, Entry]()
    last = {(entry["execution_id"], entry["subject"]): entry["seq"] for entry in entries if _is_judgement(entry)}
    for entry in entries:
        if _is_judgement(entry) and entry["seq"] != last[entry["execution_id"], entry["subject"]]:
            continue
        yield _line(entry, _restated(entry, before) or _words(entry))


def _is_judgement(entry: Entry) -> bool:
    return bool(entry["kind"] == Kind.READINESS_CHANGED.value)


def sentences(entry: Entry) -> Iterator[str]:
    """One event on one line; of a judgement, a line for each tier that changed with its week."""
    return (f"{part['seq']:>6}  {_line(part, _words(part))}" for part in _parts(entry, TIERS))


def _parts(entry: Entry, tiers: Collection[str]) -> Iterator[Entry]:
    """The entry with its whole body; of a judgement, one for each subject but those of other tiers."""
    body = bodies.full(entry)
    if not _is_judgement(entry):
        yield {**entry, "body": body}
        return
    for subject, judged in judgements.read(entry).items():
        if subject == entry["subject"] or subject.partition("/")[2] in tiers:
            yield {**entry, "subject": subject, "body": {**body, "ready": judged.is_ready, "issues": judged.issues}}


def _line(entry: Entry, words: str) -> Line:
    return Line(entry["at"][:16].replace("T", " "), entry["subject"].replace("/", " / "), words)


def _restated(entry: Entry, before: dict[str, Entry]) -> str | None:
    """What changed against the partition's rows before, where both are known."""
    body = entry["body"]
    if entry["kind"] != Kind.CAPTURE_NORMALIZED.value or body.get("imported"):
        return None
    last, before[entry["subject"]] = before.get(entry["subject"]), body
    if last is None or last["capture_id"] == body["capture_id"]:
        return None
    shares = _number(body["shares"]) - _number(last["shares"])
    return f"restated: {last['rows']:,} → {body['rows']:,} rows, {shares:+,} shares".replace("-", "−")


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _words(entry: Entry) -> str:
    kind, body = Kind(entry["kind"]), entry["body"]
    words = _WORDS[kind].format_map({name: "" if value is None else value for name, value in body.items()} | _short(body))
    return words + (" (known since the log began)" if body.get("imported") else "")


def _short(body: Mapping[str, Any]) -> dict[str, object]:
    """What the sentences say of a body in other words than its own."""
    capture = str(body.get("capture_id", ""))
    issues = "; ".join(body.get("issues", ()))
    return {
        "capture": f"…:{capture[-8:]}",
        "lengths": " and ".join(str(made.get("length")) for made in body.get("windows", [body])),
        "judged": "ready" if body.get("ready") else f"not ready: {issues}",
        "pin": f"pinned as {body['name']}" if body.get("name") else "no longer pinned",
        "grouped": f"{body.get('rows', 0):,} rows, {_number(str(body['shares'])):,} shares" if "shares" in body else "",
    }


_WORDS = {
    Kind.CAPTURE_STORED: "content {ingest_no} of capture {capture} stored, {lines} lines",
    Kind.CAPTURE_NORMALIZED: "normalized {grouped}",
    Kind.CAPTURE_MEASURED: "measured",
    Kind.CAPTURE_REJECTED: "refused: {category} {message}",
    Kind.CAPTURE_HELD: "held: {reason}",
    Kind.CAPTURE_RELEASED: "released: {reason}",
    Kind.CAPTURE_WITHDRAWN: "capture {capture} withdrawn",
    Kind.CAPTURE_RESTORED: "the withdrawal of capture {capture} ended",
    Kind.CAPTURE_PRUNED: "capture {capture} pruned",
    Kind.CAPTURE_PINNED: "capture {capture} {pin}",
    Kind.WEEK_MADE: "week totals and tier split",
    Kind.WINDOW_MADE: "rolling measures of {lengths} weeks",
    Kind.READINESS_CHANGED: "{judged}",
    Kind.ANOMALY_OPENED: "{severity} {category}: {message}",
    Kind.ANOMALY_CLOSED: "anomaly {id} closed: {note}",
    Kind.GATE_FITTED: "gates fitted",
    Kind.RUN_FINISHED: "run finished, exit {exit_code}",
    Kind.SCHEMA_MIGRATED: "migration {number} applied: {name}",
}
