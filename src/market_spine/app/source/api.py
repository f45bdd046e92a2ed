"""FINRA's Query API as a source: one partition is one query, proved complete, in one canonical form."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any, TypeVar

from market_spine import config
from market_spine.app.source import Absent, Glance, Offer, SourceSettings, asks_totals, seconds
from market_spine.app.source.canonical import FIELDS, FIRM_TYPES, SUMMARY_TYPES, Collector, newest
from market_spine.app.source.query import PAGE_ROWS, Body, Endpoint, Page, Row, Token, compare, equal
from market_spine.app.source.web import Client, HttpLimits, host
from market_spine.calendar.tiers import CODE_OF_TIER, TIER_OF_CODE
from market_spine.categories import Category
from market_spine.db import Tell, silent
from market_spine.errors import ConfigurationError, InvalidWeek, Unproved
from market_spine.partition import TIERS, Partition, friday_of
from market_spine.small_files import read_small_text, why

_log = logging.getLogger(__name__)

WEEKLY, HISTORIC = "weeklySummary", "weeklySummaryHistoric"
# weeklySummary keeps twelve months by its documentation and five years by observation: weeks older than this are also queried
# in the archive when it has no rows.
RETENTION = timedelta(days=330)
# Every part of a row's identity, so that the order is total and pages do not shift.
ORDER = (
    "+issueSymbolIdentifier",
    "+summaryTypeCode",
    "+MPID",
    "+firmCRDNumber",
    "+productTypeCode",
    "+issueName",
    "+marketParticipantName",
)
_FAR = date(2399, 12, 31)  # the end of an open range in FINRA's own examples

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The environment's settings for FINRA. The secret never appears in a repr."""

    base_url: str = "https://api.finra.org"
    token_url: str = "https://ews.fip.finra.org/fip/rest/ews/oauth2/access_token"
    client_id: str = ""
    secret: str = field(default="", repr=False)
    limits: HttpLimits = field(default_factory=HttpLimits)
    totals: bool = True

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> ApiSettings:
        """Reads MARKET_SPINE_FINRA_…; raises ConfigurationError."""
        default = cls()
        settings = cls(
            base_url=_address(environ, "MARKET_SPINE_FINRA_BASE_URL", default.base_url),
            token_url=_address(environ, "MARKET_SPINE_FINRA_TOKEN_URL", default.token_url),
            client_id=environ.get("MARKET_SPINE_FINRA_CLIENT_ID", "").strip(),
            secret=_secret(environ),
            limits=HttpLimits(
                timeout=seconds(environ, "MARKET_SPINE_HTTP_TIMEOUT", default.limits.timeout),
                retries=int(seconds(environ, "MARKET_SPINE_HTTP_RETRIES", default.limits.retries)),
                backoff=seconds(environ, "MARKET_SPINE_HTTP_BACKOFF", default.limits.backoff),
            ),
            totals=asks_totals(environ),
        )
        if bool(settings.client_id) != bool(settings.secret):
            raise ConfigurationError(
                "a FINRA credential needs both its id and its secret",
                hint="set MARKET_SPINE_FINRA_CLIENT_ID and MARKET_SPINE_FINRA_CLIENT_SECRET_FILE, or neither",
            )
        return settings


class ApiSource:
    """FINRA's Query API, with a credential or without one."""

    name = "api"
    sweeps = True

    def __init__(self, settings: ApiSettings, today: date, *, keep_wire: bool = False) -> None:
        self._client = Client(settings.limits)
        token = Token(self._client, settings.token_url, settings.client_id, settings.secret) if settings.client_id else None
        self._endpoint = Endpoint(self._client, settings.base_url, token, keep_wire=keep_wire)
        self._today, self._totals = today, settings.totals
        self.tell: Tell = silent
        self._archived_totals: tuple[Partition, Collector] | None = None  # totals of a partition whose rows the archive gave

    @classmethod
    def of(cls, settings: SourceSettings) -> ApiSource:
        """Configured by the environment. Raises ConfigurationError."""
        return cls(ApiSettings.of(settings.environ), settings.today, keep_wire=settings.keep_wire)

    def glance(self, partition: Partition) -> Glance | Absent | None:
        """The newest lastUpdateDate and the number of rows, from a query for one row; None for a week that may be archived."""
        body = {**_query(partition, SUMMARY_TYPES), "fields": [*FIELDS[:2], "lastUpdateDate"], "sortFields": ["-lastUpdateDate"]}
        page = _twice(lambda: self._first(partition, body))
        if not page.rows:
            return None if self._old(partition) else self._absent(partition)
        day = newest((str(page.rows[0].get("lastUpdateDate")),) * 2)
        return Glance(_moment(day), page.total) if day else None

    def fetch(self, partition: Partition) -> Offer | Absent:
        """Every row of the partition, in the canonical form. Raises SourceError; Unproved only after a second attempt."""
        return self._proved(partition, SUMMARY_TYPES)

    def totals(self, partition: Partition, content: bytes) -> Offer | Absent | None:
        """Every firm total of the partition, in the same form, proved complete in the same way."""
        if not self._totals:
            return None
        if self._archived_totals and self._archived_totals[0] == partition:
            rows = self._archived_totals[1]
            return Offer(rows.document(), "") if len(rows) else self._absent(partition, "firm totals")  # in the rows' responses
        offer = self._proved(partition, FIRM_TYPES)
        return offer if isinstance(offer, Offer) and offer.metadata["rows"] else self._absent(partition, "firm totals")

    def _proved(self, partition: Partition, types: tuple[str, ...]) -> Offer | Absent:
        try:
            offer, suspect = self._fetch(partition, types)
        except Unproved as error:
            _log.warning("%s: %s; requesting it again", partition, error.message)
            return self._settle(self._fetch(partition, types), None)
        if not suspect:
            return offer
        _log.warning("%s: %d repeated rows; requesting it again", partition, suspect)
        return self._settle(self._fetch(partition, types), offer)

    def revised_since(self, day: date, first_week: date, last_week: date) -> Iterable[Partition]:
        """Partitions of those weeks with rows updated on or after `day`. Raises SourceError."""
        return sorted(_twice(lambda: self._revised(day, first_week, last_week))[1])

    def daily_list(self, first: date, last: date) -> Offer:
        """FINRA's list of symbol changes of these days. Raises SourceError; for want of proof only after asking twice."""
        from market_spine.app.source import daily_list

        return _twice(lambda: daily_list.fetch(self._endpoint, first, last))

    def listing(self) -> None:
        """None: FINRA lists what was revised by its date."""

    def stop(self) -> None:
        self._client.stop()

    def close(self) -> None:
        self._client.close()

    def _first(self, partition: Partition, body: Body) -> Page:
        page = self._endpoint.ask(WEEKLY, {**body, "limit": 1, "offset": 0})
        Collector(partition).add(page.rows)
        return page

    def _settle(self, fetched: tuple[Offer | Absent, int], first: Offer | Absent | None) -> Offer | Absent:
        """Repeated rows are accepted when two consecutive fetches agree on them; with a shifted page they would differ."""
        offer, suspect = fetched
        if suspect and isinstance(offer, Offer) and not (isinstance(first, Offer) and offer.content == first.content):
            raise Unproved(
                Category.SOURCE_INCOMPLETE,
                f"{suspect} repeated rows, and two fetches disagree on them",
                hint="run again later",
            )
        return offer

    def _fetch(self, partition: Partition, types: tuple[str, ...]) -> tuple[Offer | Absent, int]:
        collector, self._archived_totals = Collector(partition, types), None
        body = {**_query(partition, types), "fields": list(FIELDS), "sortFields": list(ORDER)}
        reported = self._collect(WEEKLY, body, collector)
        if reported is None and self._old(partition):
            reported = self._archived(partition, collector)
        if reported is None:
            return self._absent(partition), 0
        return self._offer(partition, collector, reported), collector.repeated

    def _collect(self, dataset: str, body: Body, *collectors: Collector) -> dict[str, Any] | None:
        """Pages a query into the collectors; returns what FINRA reports about it, None when there are no rows."""
        reported: dict[str, Any] | None = None
        self.tell(0, 0)
        try:
            received = 0
            for page in self._endpoint.pages(dataset, body):
                for collector in collectors:
                    collector.add(page.rows)
                collectors[0].responses += [page.response] if page.response else []
                reported = reported or {"dataset": dataset, "record_total": page.total, "request_id": page.request_id}
                received += len(page.rows)
                self.tell(received, page.total or received)
        finally:
            self.tell(0, 0)
        return reported

    def _archived(self, partition: Partition, collector: Collector) -> dict[str, Any] | None:
        """weeklySummaryHistoric: one time filter and the tier, no other filter, no sort; it returns all summary types."""
        self._archived_totals = partition, Collector(partition, FIRM_TYPES)
        return self._collect(HISTORIC, {"compareFilters": _week_and_tier(partition)}, collector, self._archived_totals[1])

    def _offer(self, partition: Partition, collector: Collector, reported: dict[str, Any]) -> Offer:
        rows, content = len(collector), collector.document()
        metadata = {**reported, "rows": rows, "repeated_rows": collector.repeated, "last_update_range": collector.updated}
        day = newest(collector.updated)
        query = f"weekStartDate={partition.monday}&tierIdentifier={CODE_OF_TIER[partition.tier]}"
        uri = f"{self._endpoint.url(reported['dataset'])}?{query}"
        moment = _moment(day) if day else None
        offer = Offer(content, uri=uri, last_updated=moment, metadata=metadata, fingerprint=f"{day}|{rows}")
        return offer._replace(responses=tuple(collector.responses))

    def _revised(self, day: date, first_week: date, last_week: date) -> tuple[int, set[Partition]]:
        """How many rows of those weeks were updated since, and the partitions they belong to.

        Over several weeks FINRA sorts nothing, so pages may shift and hide a partition. Therefore only a result of one page
        is accepted; a larger one is split into two queries of half the weeks each, down to one query per tier of a week.
        """
        body = _updated_since(day, first_week, last_week)
        page = self._endpoint.ask(WEEKLY, {**body, "limit": PAGE_ROWS, "offset": 0})
        total = page.total or 0
        if len(page.rows) > total:
            raise Unproved(Category.SOURCE_INCOMPLETE, "FINRA did not report how many rows were revised (Record-Total)")
        if len(page.rows) == total:
            revised = {_partition(row, day) for row in page.rows}
            return total, {p for p in revised if p and first_week <= p.week_ending <= last_week}
        if first_week >= last_week:
            return total, {p for p in (Partition(last_week, tier) for tier in TIERS) if self._has_revised(p, day)}
        middle = first_week + timedelta(weeks=(last_week - first_week).days // 14)
        earlier, before = self._revised(day, first_week, middle)
        later, after = self._revised(day, middle + timedelta(weeks=1), last_week)
        if earlier + later != total:
            raise Unproved(Category.SOURCE_INCOMPLETE, f"{total:,} rows were revised, but {earlier:,} and {later:,} by halves")
        return total, before | after

    def _has_revised(self, partition: Partition, day: date) -> bool:
        body = _updated_since(day, partition.week_ending, partition.week_ending)
        body["compareFilters"] = _week_and_tier(partition)
        return bool(self._endpoint.ask(WEEKLY, {**body, "limit": 1, "offset": 0}).total)

    def _old(self, partition: Partition) -> bool:
        return partition.monday < self._today - RETENTION

    def _absent(self, partition: Partition, what: str = "rows") -> Absent:
        return Absent(f"{host(self._endpoint.base_url)} has no {what} of {partition}")


def _updated_since(day: date, first_week: date, last_week: date) -> Body:
    return {
        "fields": [*FIELDS[:2], "lastUpdateDate"],
        "compareFilters": [
            compare("GTE", "weekStartDate", first_week - timedelta(days=4)),
            compare("LTE", "weekStartDate", last_week - timedelta(days=4)),
        ],
        "dateRangeFilters": [{"fieldName": "lastUpdateDate", "startDate": day.isoformat(), "endDate": _FAR.isoformat()}],
        "domainFilters": [_summary_types(SUMMARY_TYPES)],
    }


def _query(partition: Partition, types: tuple[str, ...]) -> Body:
    return {"compareFilters": _week_and_tier(partition), "domainFilters": [_summary_types(types)]}


def _week_and_tier(partition: Partition) -> list[Body]:
    return [equal("weekStartDate", partition.monday.isoformat()), equal("tierIdentifier", CODE_OF_TIER[partition.tier])]


def _summary_types(types: tuple[str, ...]) -> Body:
    return {"fieldName": "summaryTypeCode", "values": list(types)}


def _partition(row: Row, day: date) -> Partition | None:
    """The partition of a row updated since `day`; None for tiers that are not published (NA, NMS)."""
    tier = TIER_OF_CODE.get(str(row.get("tierIdentifier")))
    if tier is None or str(row.get("lastUpdateDate", ""))[:10] < day.isoformat():
        return None
    try:
        return Partition(friday_of(date.fromisoformat(str(row.get("weekStartDate"))[:10])), tier)
    except (ValueError, InvalidWeek):
        return None


def _moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)


def _twice(ask: Callable[[], T]) -> T:
    """Sends the request again when the first response proves nothing."""
    try:
        return ask()
    except Unproved as error:
        _log.warning("%s; sending the request again", error.message)
        return ask()


def _address(environ: Mapping[str, str], name: str, default: str) -> str:
    address = environ.get(name, "").strip() or default
    parts = config.address(address, name)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{name} is not an http(s) address: {address!r}", hint=f"for example {default}")
    if parts.username or parts.password:  # it would be stored with every capture, in its source_uri
        hint = "a login goes into MARKET_SPINE_FINRA_CLIENT_ID and MARKET_SPINE_FINRA_CLIENT_SECRET_FILE"
        raise ConfigurationError(f"{name} holds a login", hint=hint)
    return address


def _secret(environ: Mapping[str, str]) -> str:
    path = environ.get("MARKET_SPINE_FINRA_CLIENT_SECRET_FILE", "").strip()
    if not path:
        return environ.get("MARKET_SPINE_FINRA_CLIENT_SECRET", "").strip()
    try:
        return read_small_text(path).strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"cannot read MARKET_SPINE_FINRA_CLIENT_SECRET_FILE {path}: {why(error)}", hint="make it readable for this user"
        ) from error
