"""FINRA's Query API on this machine, as faithful as what is known of it (docs/finra-api.md), with faults to order.

    with FinraFake(date(2026, 10, 2)) as fake:
        fake.fill(weeks=8)                         # partitions appear as the clock reaches their day
        fake.fail(status(503), when=tier("T2"))    # faults, once or for ever, for the requests that match
        fake.today += timedelta(weeks=1)           # the clock: publications and scripted revisions happen
        fake.spoil_totals(monday, "T1", doubled)   # firm totals fit the rows, unless spoiled
        fake.seen                                  # every request that came

Its calendar is a table of its own, so that it does not repeat the program's mistakes.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta, timezone
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

from stand_ins.finra_faults import Answer, Fault, Seen, When, data
from stand_ins.finra_filters import BODY_KEYS, BadRequest, check_filters, check_historic, check_sort, matches
from stand_ins.finra_http import Handler, Server
from stand_ins.finra_rows import (
    DAILY_KEYS,
    DAILY_ORDER,
    DATES,
    DESCRIPTION,
    KEYS,
    ORDER,
    Row,
    daily_rows,
    firm_totals,
    partition_rows,
    stray_rows,
)
from stand_ins.finra_texts import json_row, text_writer

FINRA_MAX, LAST_OFFSET = 5000, 500_000


class FinraFake:
    """One fake service. `today` is its clock."""

    def __init__(self, today: date) -> None:
        self._today = today
        self._partitions: dict[tuple[str, str], list[Row]] = {("2023-11-06", "NMS"): stray_rows()}
        self._pending: list[tuple[date, Callable[[], None]]] = []
        self._faults: list[tuple[Fault, When, list[int]]] = []
        self._cache: dict[str, list[Row]] = {}
        self._spoiled_totals: dict[tuple[str, str], Callable[[list[Row]], list[Row]]] = {}
        self._tokens: set[str] = set()
        self._lock = threading.Lock()
        self.seen: list[Seen] = []
        self.page_max, self.page_bytes = FINRA_MAX, 3_000_000
        self.shuffle = 0
        self.restless = False  # unsorted answers come in another order each time
        self.require_token, self.require_cookie = False, False
        self.credential = ("id", "s3cret")
        self.expires_in: Any = 43169
        self.oldest_weekly: date | None = None  # weeks before are in weeklySummaryHistoric only
        self.daily_days = 60  # how far back the daily list goes
        self.daily_more: list[Row] = []  # rows beside those of every day
        self.pad_decimals = False
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> FinraFake:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environ(self) -> dict[str, str]:
        """What points the program here, impatiently."""
        return {
            "MARKET_SPINE_FINRA_BASE_URL": self.url,
            "MARKET_SPINE_FINRA_TOKEN_URL": f"{self.url}/fip/rest/ews/oauth2/access_token",
            "MARKET_SPINE_HTTP_BACKOFF": "0.001",
            "MARKET_SPINE_HTTP_RETRIES": "2",
        }

    @property
    def login(self) -> dict[str, str]:
        """The credential, as settings."""
        return {
            "MARKET_SPINE_FINRA_CLIENT_ID": self.credential[0],
            "MARKET_SPINE_FINRA_CLIENT_SECRET": self.credential[1],
        }

    @property
    def today(self) -> date:
        return self._today

    @today.setter
    def today(self, day: date) -> None:
        self._today = day
        self._cache.clear()
        for when, change in sorted(self._pending, key=lambda pending: pending[0]):
            if when <= day:
                change()
        self._pending = [pending for pending in self._pending if pending[0] > day]

    # What tests say to it.

    def put(self, rows: Iterable[Row]) -> None:
        """Adds rows to their partitions; they show once their initialPublishedDate is reached."""
        for row in rows:
            self._partitions.setdefault((row["weekStartDate"], row["tierIdentifier"]), []).append(row)
        self._cache.clear()

    def fill(self, weeks: int, rows: int = 40, tiers: Iterable[str] = ("T1", "T2", "OTCE", "NA"), ahead: int = 0) -> None:
        """The last `weeks` weeks up to today, and `ahead` coming ones, of every tier."""
        this = self._today - timedelta(days=self._today.weekday())
        for n in range(1 - weeks, ahead + 1):
            for code in tiers:
                self.put(partition_rows(this + timedelta(weeks=n), code, rows if code != "NA" else 0))

    def rows(self, monday: date | str, code: str) -> list[Row]:
        """A partition's own rows, to look at or to change behind FINRA's back: no date moves."""
        self._cache.clear()
        return self._partitions[(str(monday), code)]

    def revise(self, day: date, monday: date | str, code: str, change: Callable[[Row], None], rows: int = 1) -> None:
        """On `day`, firms correct the first `rows` firm rows of a partition: both their dates become that day."""

        def apply() -> None:
            for row in [r for r in self.rows(monday, code) if r["summaryTypeCode"].endswith("SMBL_FIRM")][:rows]:
                change(row)
                row["lastUpdateDate"] = row["lastReportedDate"] = day.isoformat()

        if day <= self._today:
            apply()
        else:
            self._pending.append((day, apply))

    def take_back(self, day: date, monday: date | str, code: str) -> None:
        """On `day`, the partition is what it is now again, dates included: what is revised until then is taken back."""
        before = [dict(row) for row in self.rows(monday, code)]

        def apply() -> None:
            self.rows(monday, code)[:] = before

        self._pending.append((day, apply))

    def spoil_totals(self, monday: date | str, code: str, how: Callable[[list[Row]], list[Row]]) -> None:
        """From now on a partition's firm totals are served as `how` makes them; `list` serves them as they are."""
        self._spoiled_totals[str(monday), code] = how
        self._cache.clear()

    def move(self, symbol: str, monday: date | str, code: str, other: str) -> None:
        """A security is of another tier from now on, as corrected in place: no date moves."""
        moved = [row for row in self.rows(monday, code) if row["issueSymbolIdentifier"] == symbol]
        self.rows(monday, code)[:] = [row for row in self.rows(monday, code) if row not in moved]
        self.rows(monday, other).extend(row | {"tierIdentifier": other, "tierDescription": DESCRIPTION[other]} for row in moved)

    def fail(self, fault: Fault, *, when: When = data, times: int = 1 << 30, skip: int = 0) -> None:
        """The next `times` requests that match, after `skip` of them, go wrong."""
        self._faults.append((fault, when, [skip, times]))

    def heal(self) -> None:
        self._faults.clear()

    def end_tokens(self) -> None:
        """Every token given out so far has ended."""
        self._tokens.clear()

    def asked(self, when: When = data) -> list[Seen]:
        return [seen for seen in self.seen if when(seen)]

    # What it answers.

    def answer(self, seen: Seen) -> Answer:
        with self._lock:
            self.seen.append(seen)
            if self.require_cookie and "__cf_bm" not in seen.headers.get("cookie", ""):
                return Answer(307, b"", None, {"Location": seen.path, "Set-Cookie": "__cf_bm=1; path=/"})
            try:
                answer = self._route(seen)
            except BadRequest as error:
                answer = self._error(400, "Bad Request", str(error), seen)
            return self._spoiled(answer, seen)

    def _spoiled(self, answer: Answer, seen: Seen) -> Answer:
        for fault, when, left in self._faults:
            if when(seen):
                if left[0] > 0:
                    left[0] -= 1
                elif left[1] > 0:
                    left[1] -= 1
                    return fault(answer)
        return answer

    def _route(self, seen: Seen) -> Answer:
        path = seen.path.lower()
        if path.startswith("/fip/"):
            return self._token(seen)
        if not self._let_in(seen):
            return self._error(401, "Unauthorized", "Unauthorized", seen)
        if match := re.fullmatch(r"/(data|partitions|metadata)/group/otcmarket/name/(\w+)", path):
            return {"data": self._data, "partitions": self._available, "metadata": self._metadata}[match[1]](seen, match[2])
        return self._error(404, "Not Found", "Resource not found", seen)

    def _let_in(self, seen: Seen) -> bool:
        # Public sets ignore a login they do not know.
        return not self.require_token or seen.headers.get("authorization", "")[7:] in self._tokens

    def _token(self, seen: Seen) -> Answer:
        login = seen.headers.get("authorization", "")
        wanted = "Basic " + base64.b64encode(":".join(self.credential).encode()).decode()
        grant = seen.query.get("grant_type") or parse_qs(seen.raw.decode()).get("grant_type")
        if not login:
            return _refused_login("Client credentials is required")
        if login != wanted or grant != ["client_credentials"]:
            return _refused_login("Invalid Credentials")
        token = uuid.uuid4().hex
        self._tokens.add(token)
        content = {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in, "scope": "read"}
        return Answer(200, json.dumps(content).encode())

    def _available(self, seen: Seen, name: str) -> Answer:
        found = sorted({(r["weekStartDate"], r["tierIdentifier"]) for r in self._visible(name)}, reverse=True)
        content = {
            "datasetGroup": "OTCMARKET",
            "datasetName": name.upper(),
            "partitionFields": list(KEYS),
            "availablePartitions": [{"partitions": list(pair)} for pair in found],
        }
        return Answer(200, json.dumps(content).encode())

    def _metadata(self, seen: Seen, name: str) -> Answer:
        fields = [{"name": one, "type": "Date" if one in DATES else "String"} for one in ORDER]
        content = {
            "datasetGroup": "OTCMARKET",
            "datasetName": name.upper(),
            "partitionFields": list(KEYS),
            "fields": fields,
        }
        return Answer(200, json.dumps(content).encode())

    def list_more(self, *rows: Row) -> None:
        """Adds rows to the daily list."""
        self.daily_more += rows
        self._cache.clear()

    def _daily(self) -> Iterator[Row]:
        """The rolling window of the daily list."""
        first = self._today - timedelta(days=self.daily_days - 1)
        for n in range(self.daily_days):
            yield from daily_rows(first + timedelta(days=n))
        yield from (row for row in self.daily_more if first.isoformat() <= row["calendarDay"] <= self._today.isoformat())

    def _visible(self, name: str, equal: dict[str, str] | None = None) -> Iterator[Row]:
        if name == "otcdailylist":
            yield from self._daily()
            return
        old = self.oldest_weekly.isoformat() if self.oldest_weekly else ""
        today = self._today.isoformat()
        week, code = (equal or {}).get("weekStartDate"), (equal or {}).get("tierIdentifier")
        looked_at = self._partitions if not (week and code) else {(week, code): self._partitions.get((week, code), [])}
        for (week, _), rows in looked_at.items():
            if (week < old) == (name == "weeklysummaryhistoric"):
                others = [row for row in rows if not str(row["summaryTypeCode"]).endswith("_W_FIRM")]
                yield from (row for row in (*others, *firm_totals(others)) if row["initialPublishedDate"] <= today)

    def _data(self, seen: Seen, name: str) -> Answer:
        body = self._checked_body(seen, name)
        found = self._found(name, body)
        order = DAILY_ORDER if name == "otcdailylist" else ORDER
        limit = max(1, min(int(body.get("limit", 1000)), self.page_max))
        offset = int(body.get("offset", 0))
        if offset > LAST_OFFSET:
            raise BadRequest(f"Offset must not be greater than {LAST_OFFSET}")
        return self._page(found, body, limit, offset, seen, order)

    def _checked_body(self, seen: Seen, name: str) -> dict[str, Any]:
        if seen.method == "GET":  # filters given here are ignored
            one = {key: values[0] for key, values in seen.query.items() if key in ("limit", "offset", "delimiter")}
            return one | {key: seen.query[key][0].split(",") for key in ("fields", "sortFields") if key in seen.query}
        try:
            body = json.loads(seen.raw or b"{}")
        except ValueError as error:
            raise BadRequest("Unable to parse request body.") from error
        if not isinstance(body, dict) or set(body) - BODY_KEYS:
            raise BadRequest("Unable to parse request body.")
        check_filters(body)
        check_sort(body, DAILY_KEYS if name == "otcdailylist" else KEYS)
        if name == "weeklysummaryhistoric":
            check_historic(body)
        return body

    def _found(self, name: str, body: dict[str, Any]) -> list[Row]:
        self.shuffle += self.restless and not body.get("sortFields")
        question = json.dumps([name, self.shuffle, {k: v for k, v in body.items() if k not in ("limit", "offset", "fields")}])
        if question not in self._cache:
            filters = body.get("compareFilters") or []
            equal = {one["fieldName"]: str(one["fieldValue"]) for one in filters if one["compareType"].upper() == "EQUAL"}
            rows = self._with_spoiled_totals([row for row in self._visible(name, equal) if matches(row, body)])
            rows.sort(key=lambda row: (row.get("tierIdentifier") != "NMS", zlib.crc32(f"{self.shuffle}{row}".encode())))
            for one in reversed(body.get("sortFields") or []):
                field_name = one.lstrip("+-")
                rows.sort(key=lambda row: row[field_name] or 0 if field_name == "firmCRDNumber" else str(row[field_name] or "~"))
                if one.startswith("-"):
                    rows.reverse()
            self._cache[question] = rows
        return self._cache[question]

    def _with_spoiled_totals(self, rows: list[Row]) -> list[Row]:
        totals: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            if str(row.get("summaryTypeCode")).endswith("_W_FIRM"):
                totals.setdefault((row["weekStartDate"], row["tierIdentifier"]), []).append(row)
        for key in totals.keys() & self._spoiled_totals.keys():
            kept = [row for row in rows if not any(row is total for total in totals[key])]
            rows = kept + self._spoiled_totals[key](totals[key])
        return rows

    def _page(
        self, found: list[Row], body: dict[str, Any], limit: int, offset: int, seen: Seen, order: tuple[str, ...]
    ) -> Answer:
        fields = [name for name in order if name in (body.get("fields") or order)]
        headers = {
            "FINRA-api-request-id": str(uuid.uuid4()),
            "Date": self._http_date(),
            "Record-Limit": str(limit),
            "Record-Max-Limit": str(self.page_max),
            "Record-Offset": str(offset),
            "Record-Total": str(len(found)),
            "Response-Payload-Max-Size": "3mb",
            "Set-Cookie": "__cf_bm=1; path=/",
        }
        if not found[offset : offset + limit]:
            return Answer(204, b"", None, headers | {"Record-Total": "0" if not found else str(len(found))})
        as_json = seen.headers.get("accept") == "application/json"
        write = json_row if as_json else text_writer(body, self.pad_decimals)
        lines: list[str] = []
        size = 0
        for row in found[offset : offset + limit]:
            line = write([(name, row[name]) for name in fields])
            size += len(line) + 1
            if lines and size > self.page_bytes:
                break
            lines.append(line)
        headers["Total-Records-On-Page"] = str(len(lines))
        if as_json:
            return Answer(200, f"[{','.join(lines)}]".encode(), "application/json", headers)
        return Answer(200, ("\n".join([write([(name, name) for name in fields]), *lines]) + "\n").encode(), "text/plain", headers)

    def _http_date(self) -> str:
        """FINRA's clock: two in the afternoon UTC and a second for every request that came."""
        moment = datetime.combine(self._today, time(14), timezone.utc) + timedelta(seconds=len(self.seen))
        return format_datetime(moment, usegmt=True)

    def _error(self, code: int, words: str, message: str, seen: Seen) -> Answer:
        content = {
            "statusCode": code,
            "statusDescription": words,
            "requestId": str(uuid.uuid4()),
            "message": message,
            "dataRequest": {
                "action": seen.method,
                "datasetGroup": "OTCMarket",
                "datasetName": "weeklySummary",
                **seen.body,
            },
        }
        return Answer(code, json.dumps(content).encode())


def _refused_login(message: str) -> Answer:
    return Answer(400, json.dumps({"error_message": message, "error": "invalid_client"}).encode())
