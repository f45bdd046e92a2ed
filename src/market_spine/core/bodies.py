"""The body of an event as a line holds it: without what its subject and time say already, and back.

`2026-01-09/OTC` and a capture `20260213@2` are the capture of 2026-02-13 and its second content; a moment that is left out is
that of the event. Lines from before this was so hold everything, and are read as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from market_spine.partition import DOMAIN, WHOLE_WEEK, capture_id_of

_MOMENTS = ("observed_at", "normalized_at", "withdrawn_at")


def short(subject: str, at: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body without what its line says already."""
    kept = {name: value for name, value in body.items() if name not in _MOMENTS or value != at}
    if day := _day(subject, kept.get("capture_id")):
        del kept["capture_id"]
        kept["capture"] = f"{day}@{kept.pop('ingest_no')}" if "ingest_no" in kept else day
        if kept.get("run_date") == _date(day):
            del kept["run_date"]
    if day := _day(f"{subject}/{WHOLE_WEEK}", kept.get("result_id")):
        del kept["result_id"]
        kept["result"] = day
    made_from = kept.get("made_from")
    if isinstance(made_from, Mapping):
        kept["made_from"] = {tier: _input(f"{subject}/{tier}", of_tier) for tier, of_tier in made_from.items()}
    return kept


def full(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an entry with the ids of what it is about."""
    subject = str(entry["subject"])
    body: dict[str, Any] = dict(entry["body"])
    if "capture" in body:
        day, _, number = body.pop("capture").partition("@")
        body = {"run_date": _date(day), "capture_id": _id(subject, day)} | body
        body |= {"ingest_no": int(number)} if number else {}
    if "result" in body:
        body["result_id"] = _id(f"{subject}/{WHOLE_WEEK}", body.pop("result"))
    if "made_from" in body:
        body["made_from"] = {
            tier: _capture(f"{subject}/{tier}", of_tier) if isinstance(of_tier, str) else of_tier
            for tier, of_tier in body["made_from"].items()
        }
    return body


def _input(partition: str, of_tier: Mapping[str, object]) -> object:
    """A capture that a result was made from."""
    day = _day(partition, of_tier.get("capture_id")) if of_tier.keys() == {"capture_id", "ingest_no"} else None
    return f"{day}@{of_tier['ingest_no']}" if day else of_tier


def _capture(partition: str, version: str) -> dict[str, object]:
    day, _, number = version.partition("@")
    return {"capture_id": _id(partition, day), "ingest_no": int(number)}


def _day(subject: str, capture_id: object) -> str | None:
    """The run date in an id that is otherwise the subject; None for another id."""
    day = str(capture_id).rpartition(":")[2]
    return day if capture_id == _id(subject, day) and len(day) == len("YYYYMMDD") else None


def _id(subject: str, day: str) -> str:
    week, _, tier = subject.partition("/")
    return capture_id_of(DOMAIN, week, tier, day)


def _date(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"
