"""FINRA's Query API as a source: one partition is one proved-complete query in one canonical form."""

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
from market_spine.app.source.web import Client, Manners, host
from market_spine.calendar.tiers import CODE_OF_TIER, TIER_OF_CODE
from market_spine.categories import Category
from market_spine.errors import ConfigurationError, InvalidWeek, Unproved
from market_spine.partition import TIERS, Partition, friday_of
from market_spine.small_files import read_small_text, why

_log = logging.getLogger(__name__)

WEEKLY, HISTORIC = "weeklySummary", "weeklySummaryHistoric"
# weeklySummary keeps twelve months by its documentation and five years by observation: weeks older than this are looked for
# in the archive too, when they are not there.
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
_FAR = date(2399, 12, 31)  # the end FINRA's own examples give a range without one

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """What the environment says of FINRA. The secret is in no repr."""

    base_url: str = "https://api.finra.org"
    token_url: str = "https://ews.fip.finra.org/fip/rest/ews/oauth2/access_token"
    client_id: str = ""
    secret: str = field(default="", repr=False)
    manners: Manners = field(default_factory=Manners)
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
            manners=Manners(
                timeout=seconds(environ, "MARKET_SPINE_HTTP_TIMEOUT", default.manners.timeout),
                retries=int(seconds(environ, "MARKET_SPINE_HTTP_RETRIES", default.manners.retries)),
                backoff=seconds(environ, "MARKET_SPINE_HTTP_BACKOFF", default.manners.backoff),
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

    def __init__(self, settings: ApiSettings, today: date) -> None:
        self._client = Client(settings.manners)
        token = Token(self._client, settings.token_url, settings.client_id, settings.secret) if settings.client_id else None
        self._endpoint = Endpoint(self._client, settings.base_url, token)
        self._today, self._totals = today, settings.totals
        self._came_along: tuple[Partition, Collector] | None = None  # totals of a partition whose rows the archive gave

    @classmethod
    def of(cls, settings: SourceSettings) -> ApiSource:
        """As the environment says. Raises ConfigurationError."""
        return cls(ApiSettings.of(settings.environ), settings.today)

    def glance(self, partition: Partition) -> Glance | Absent | None:
        """The newest lastUpdateDate and the number of rows, by one row; None for a week only the archive may hold."""
        body = {**_query(partition, SUMMARY_TYPES), "fields": [*FIELDS[:2], "lastUpdateDate"], "sortFields": ["-lastUpdateDate"]}
        page = _twice(lambda: self._first(partition, body))
        if not page.rows:
            return None if self._old(partition) else self._absent(partition)
        day = newest((str(page.rows[0].get("lastUpdateDate")),) * 2)
        return Glance(_moment(day), page.total) if day else None

    def fetch(self, partition: Partition) -> Offer | Absent:
        """Every row of the partition, in the canonical form. Raises SourceError; for want of proof only after asking twice."""
        return self._proved(partition, SUMMARY_TYPES)

    def totals(self, partition: Partition, content: bytes) -> bytes | Absent | None:
        """Every firm total of the partition, in the same form, proved complete in the same way."""
        if not self._totals:
            return None
        if self._came_along and self._came_along[0] == partition:
            rows = self._came_along[1]
            return rows.document() if len(rows) else self._absent(partition, "firm totals")
        offer = self._proved(partition, FIRM_TYPES)
        return offer.content if isinstance(offer, Offer) and offer.metadata["rows"] else self._absent(partition, "firm totals")

    def _proved(self, partition: Partition, types: tuple[str, ...]) -> Offer | Absent:
        try:
            offer, suspect = self._fetch(partition, types)
        except Unproved as error:
            _log.warning("%s: %s; asking once more", partition, error.message)
            return self._settle(self._fetch(partition, types), None)
        if not suspect:
            return offer
        _log.warning("%s: %d rows come twice; asking once more", partition, suspect)
        return self._settle(self._fetch(partition, types), offer)

    def revised_since(self, day: date, first_week: date, last_week: date) -> Iterable[Partition]:
        """Partitions of those weeks with rows updated on or after `day`. Raises SourceError."""
        return sorted(_twice(lambda: self._revised(day, first_week, last_week))[1])

    def listing(self) -> None:
        """None: FINRA shows what was revised by its date."""

    def close(self) -> None:
        self._client.close()

    def _first(self, partition: Partition, body: Body) -> Page:
        page = self._endpoint.ask(WEEKLY, {**body, "limit": 1, "offset": 0})
        Collector(partition).add(page.rows)
        return page

    def _settle(self, fetched: tuple[Offer | Absent, int], first: Offer | Absent | None) -> Offer | Absent:
        """Repeated rows are believed when two fetches in a row agree on them; a shifted page would not."""
        offer, suspect = fetched
        if suspect and isinstance(offer, Offer) and not (isinstance(first, Offer) and offer.content == first.content):
            raise Unproved(
                Category.SOURCE_INCOMPLETE,
                f"{suspect} rows came twice, and not the same ones each time",
                hint="run again later",
            )
        return offer

    def _fetch(self, partition: Partition, types: tuple[str, ...]) -> tuple[Offer | Absent, int]:
        collector, self._came_along = Collector(partition, types), None
        said = self._collect(WEEKLY, {**_query(partition, types), "fields": list(FIELDS), "sortFields": list(ORDER)}, collector)
        if said is None and self._old(partition):
            said = self._archived(partition, collector)
        if said is None:
            return self._absent(partition), 0
        return self._offer(partition, collector, said), collector.repeated

    def _collect(self, dataset: str, body: Body, *collectors: Collector) -> dict[str, Any] | None:
        """Pages a query into the collectors; answers what FINRA said of it, None when there are no rows."""
        said: dict[str, Any] | None = None
        for page in self._endpoint.pages(dataset, body):
            for collector in collectors:
                collector.add(page.rows)
            said = said or {"dataset": dataset, "record_total": page.total, "request_id": page.request_id}
        return said

    def _archived(self, partition: Partition, collector: Collector) -> dict[str, Any] | None:
        """weeklySummaryHistoric: one time filter and the tier, no other filter, no sort; all summary types come."""
        self._came_along = partition, Collector(partition, FIRM_TYPES)
        return self._collect(HISTORIC, {"compareFilters": _week_and_tier(partition)}, collector, self._came_along[1])

    def _offer(self, partition: Partition, collector: Collector, said: dict[str, Any]) -> Offer:
        rows, content = len(collector), collector.document()
        metadata = {**said, "rows": rows, "repeated_rows": collector.repeated, "last_update_range": collector.updated}
        day = newest(collector.updated)
        place = f"weekStartDate={partition.monday}&tierIdentifier={CODE_OF_TIER[partition.tier]}"
        where = f"{self._endpoint.url(said['dataset'])}?{place}"
        moment = _moment(day) if day else None
        return Offer(content, uri=where, last_updated=moment, metadata=metadata, fingerprint=f"{day}|{rows}")

    def _revised(self, day: date, first_week: date, last_week: date) -> tuple[int, set[Partition]]:
        """How many rows of those weeks were updated since, and whose they are.

        Over several weeks FINRA sorts nothing, so pages may shift and hide a partition. Therefore only an answer that comes
        in one page is believed; where there is more, each half of the weeks is asked, at last each tier of a week.
        """
        body = _updated_since(day, first_week, last_week)
        page = self._endpoint.ask(WEEKLY, {**body, "limit": PAGE_ROWS, "offset": 0})
        total = page.total or 0
        if len(page.rows) > total:
            raise Unproved(Category.SOURCE_INCOMPLETE, "FINRA did not say how many rows were revised (Record-Total)")
        if len(page.rows) == total:
            found = {_partition(row, day) for row in page.rows}
            return total, {p for p in found if p and first_week <= p.week_ending <= last_week}
        if first_week >= last_week:
            return total, {p for p in (Partition(last_week, tier) for tier in TIERS) if self._has_revised(p, day)}
        middle = first_week + timedelta(weeks=(last_week - first_week).days // 14)
        earlier, before = self._revised(day, first_week, middle)
        later, after = self._revised(day, middle + timedelta(weeks=1), last_week)
        if earlier + later != total:
            raise Unproved(Category.SOURCE_INCOMPLETE, f"{total:,} rows were revised, and by halves {earlier:,} and {later:,}")
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
    """The partition of a row updated since `day`; None for the tiers FINRA keeps aside (NA, NMS)."""
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
    """Asks once more when the first answer proves nothing."""
    try:
        return ask()
    except Unproved as error:
        _log.warning("%s; asking once more", error.message)
        return ask()


def _address(environ: Mapping[str, str], name: str, default: str) -> str:
    address = environ.get(name, "").strip() or default
    parts = config.address(address, name)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{name} is no http(s) address: {address!r}", hint=f"for example {default}")
    if parts.username or parts.password:  # it would be kept with every capture, as where it came from
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
