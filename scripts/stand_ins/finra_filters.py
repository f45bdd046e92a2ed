"""Which rows a request asks for; what the service refuses of its body."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from stand_ins.finra_rows import DATES, Row

BODY_KEYS = {
    *("fields", "limit", "offset", "async", "compareFilters", "dateRangeFilters", "domainFilters", "sortFields"),
    *("delimiter", "quoteValues"),
}


class BadRequest(Exception):
    """Answered with 400 and FINRA's error document."""


def check_filters(body: dict[str, Any]) -> None:
    kinds = {"EQUAL", "NOT_EQUAL", "GREATER", "LESSER", "GTE", "LTE", "BEGINS_WITH"}
    for one in body.get("compareFilters") or []:
        if str(one.get("compareType")).upper() not in kinds or "fieldValue" not in one:
            raise BadRequest("Unable to parse request body.")
        if one["fieldName"] in DATES:
            _check_date(one["fieldValue"])
    for one in body.get("dateRangeFilters") or []:
        _check_date(one["startDate"])
        _check_date(one["endDate"])


def _check_date(value: Any) -> None:
    try:
        datetime.strptime(str(value), "%Y-%m-%d")  # noqa: DTZ007 - a form is checked
    except ValueError as error:
        raise BadRequest("Invalid date field format. Must be yyyy-MM-dd or yyyy-MM-dd HH:mm:ss.SSS") from error


def check_sort(body: dict[str, Any], keys: tuple[str, ...]) -> None:
    equal = {one["fieldName"] for one in body.get("compareFilters") or [] if one["compareType"].upper() == "EQUAL"}
    missing = [key for key in keys if key not in equal]
    if body.get("sortFields") and missing:
        raise BadRequest(
            "Sorting is allowed only if all partitions keys are specified in EQUAL CompareFilter."
            f"Partition keys missing or not using EQUAL CompareFilter: {', '.join(missing)}"
        )


def check_historic(body: dict[str, Any]) -> None:
    """Exactly one time filter, perhaps the tier; no other filter, no sort."""
    names = [one["fieldName"] for one in body.get("compareFilters") or []]
    times = [name for name in names if name in ("weekStartDate", "historicalWeek", "historicalMonth")]
    others = [name for name in names if name not in times and name != "tierIdentifier"]
    if len(times) != 1 or others or any(body.get(key) for key in ("sortFields", "dateRangeFilters", "domainFilters")):
        raise BadRequest("Exactly one of weekStartDate, historicalWeek, historicalMonth is required, and no other filter.")


def _value(row: Row, one: dict[str, Any]) -> Any:
    """A row's value for a filter; the archive's two time filters of its own name a month, or a week by any of its days."""
    if one["fieldName"] == "historicalMonth":
        return row["weekStartDate"][:7]
    if one["fieldName"] == "historicalWeek":
        monday = date.fromisoformat(row["weekStartDate"])
        asked = date.fromisoformat(one["fieldValue"])
        return one["fieldValue"] if monday <= asked < monday + timedelta(weeks=1) else row["weekStartDate"]
    return row.get(one["fieldName"])


def matches(row: Row, body: dict[str, Any]) -> bool:
    return (
        all(_compares(_value(row, one), one) for one in body.get("compareFilters") or [])
        and all(r["startDate"] <= row[r["fieldName"]] <= r["endDate"] for r in body.get("dateRangeFilters") or [])
        and all(row.get(one["fieldName"]) in one["values"] for one in body.get("domainFilters") or [])
    )


def _compares(value: Any, one: dict[str, Any]) -> bool:
    """Text against text; numbers stand as they are written."""
    wanted, kind = str(one["fieldValue"]), one["compareType"].upper()
    if kind == "NOT_EQUAL":
        return str(value) != wanted
    text = "" if value is None else str(value)
    compare: dict[str, bool] = {
        "EQUAL": text == wanted,
        "GREATER": text > wanted,
        "LESSER": text < wanted,
        "GTE": text >= wanted,
        "LTE": text <= wanted,
        "BEGINS_WITH": text.startswith(wanted),
    }
    return compare[kind]
