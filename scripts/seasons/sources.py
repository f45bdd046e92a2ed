"""The two ways to FINRA's data: a folder of weekly files, and a fake of the Query API. Both can be out of order."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable
from datetime import datetime, time, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from stand_ins import finra_rows
from stand_ins.finra_fake import FinraFake
from stand_ins.finra_faults import status
from stand_ins.finra_rows import firm_totals, make_row

from seasons.finra import CODES, MICRO, Content, Finra, Line, Partition, Served
from seasons.measures import Firm

_HEADER = (
    "tierDescription|issueSymbolIdentifier|issueName|marketParticipantName|MPID|totalWeeklyShareQuantity|"
    "totalWeeklyTradeCount|lastUpdateDate"
)
_NAMES = {"NMS_TIER_1": "NMS Tier 1", "NMS_TIER_2": "NMS Tier 2", "OTC": "OTC"}


# One content in eight comes with firm totals that cannot be used.
_WRONG_TOTALS = (finra_rows.missing, finra_rows.doubled, finra_rows.of_another_week, finra_rows.negative)


class Source(Protocol):
    """A way to FINRA's data."""

    name: str
    arguments: tuple[str, ...]
    environ: dict[str, str]

    def show(self, finra: Finra, out_of_order: frozenset[str]) -> None:
        """Offers what FINRA serves now; the tiers out of order fail."""

    def stored(self, served: Served) -> Content:
        """What of a content reaches the store: a file has fewer columns."""

    def firms(self, partition: Partition, served: Served) -> tuple[Firm, ...] | None:
        """The firm totals that come with a content; None where none do."""

    def is_content(self, sha: str, raw: Callable[[str], bytes], partition: Partition, served: Served) -> bool:
        """Whether the stored bytes are what is served."""


class Files:
    """Weekly files in a folder; a tier out of order has none."""

    name = "file"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[Partition, bytes] = {}
        self._writes = 0
        self._stored: dict[int, tuple[Content, Content]] = {}  # by identity: the same lines are asked for thousands of times
        self.arguments: tuple[str, ...] = ("--source", "file", "--data-dir", str(folder))
        self.environ: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def show(self, finra: Finra, out_of_order: frozenset[str]) -> None:
        wanted = {p: _file(p, served) for p, served in finra.partitions.items() if p.tier not in out_of_order}
        for partition in self._written.keys() - wanted.keys():
            self._path(partition).unlink()
            del self._written[partition]
        for partition, content in wanted.items():
            if self._written.get(partition) != content:
                self._write(partition, content, finra)

    def stored(self, served: Served) -> Content:
        known = self._stored.get(id(served.lines))
        if known is None:
            known = served.lines, tuple(line._replace(tape="", crd=0, notional=None, published=None) for line in served.lines)
            self._stored[id(served.lines)] = known
        return known[1]

    def firms(self, partition: Partition, served: Served) -> None:
        """None: such a file has no sums."""

    def is_content(self, sha: str, raw: Callable[[str], bytes], partition: Partition, served: Served) -> bool:
        return raw(sha) == _file(partition, served)

    def _write(self, partition: Partition, content: bytes, finra: Finra) -> None:
        """Each write has a time of its own, on the simulated day."""
        path = self._path(partition)
        path.write_bytes(content)
        self._writes += 1
        morning = datetime.combine(finra.today, time(6), timezone.utc).timestamp()
        os.utime(path, (morning, morning + self._writes / 1000))
        self._written[partition] = content

    def _path(self, partition: Partition) -> Path:
        return self._folder / f"{partition.tier.lower()}_week_{partition.week}.psv"


class Api:
    """The fake of FINRA's Query API; a tier out of order answers 503."""

    name = "api"
    arguments: tuple[str, ...] = ("--source", "api", "--keep-wire")

    def __init__(self, fake: FinraFake) -> None:
        self._fake = fake
        self._shown: dict[Partition, Served] = {}
        self._firms: dict[int, tuple[Content, tuple[Firm, ...]]] = {}  # by identity, as above
        self.environ = {**fake.environ, "MARKET_SPINE_HTTP_RETRIES": "1"}

    def show(self, finra: Finra, out_of_order: frozenset[str]) -> None:
        for partition, served in finra.partitions.items():
            if self._shown.get(partition) != served:
                self._put(partition, served)
        if self._fake.today != finra.today:
            self._fake.today = finra.today
        self._fake.heal()
        codes = {CODES[tier] for tier in out_of_order}
        if codes:
            everything = codes == set(CODES.values())
            self._fake.fail(status(503), when=lambda seen: seen.is_data and (everything or seen.tier in codes))

    def stored(self, served: Served) -> Content:
        return served.lines

    def firms(self, partition: Partition, served: Served) -> tuple[Firm, ...] | None:
        if _totals_served(served) is not list:
            return None
        if id(served.lines) not in self._firms:
            totals = firm_totals(_row(partition, line) for line in served.lines)
            self._firms[id(served.lines)] = served.lines, tuple(map(_firm, totals))
        return self._firms[id(served.lines)][1]

    def is_content(self, sha: str, raw: Callable[[str], bytes], partition: Partition, served: Served) -> bool:
        content = raw(sha)
        return hashlib.sha256(content).hexdigest() == sha and _canonical(content) == sorted(map(_fields, served.lines))

    def _put(self, partition: Partition, served: Served) -> None:
        monday, code = partition.monday, CODES[partition.tier]
        made = [_row(partition, line) for line in served.lines]
        if partition in self._shown:
            self._fake.rows(monday, code)[:] = made
        else:
            self._fake.put(made)
        self._fake.spoil_totals(monday, code, _totals_served(served))
        self._shown[partition] = served


def _totals_served(served: Served) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """How firm totals come with a content: always in the same way, which its lines decide."""
    luck = zlib.crc32(repr(served.lines).encode()) % (8 * len(_WRONG_TOTALS))
    return _WRONG_TOTALS[luck] if luck < len(_WRONG_TOTALS) else list


def _file(partition: Partition, served: Served) -> bytes:
    if served.raw is not None:
        return served.raw
    return file_bytes(partition.tier, served.lines)


def file_bytes(tier: str, lines: Content) -> bytes:
    """A weekly file."""
    rows = [
        f"{_NAMES[tier]}|{li.symbol}|{li.name}|{li.venue}|{li.mpid}|{_number(li.shares)}|{li.trades}|{li.updated}" for li in lines
    ]
    return ("\n".join([_HEADER, *rows]) + "\n").encode()


def _row(partition: Partition, line: Line) -> dict[str, Any]:
    return make_row(
        partition.monday,
        CODES[partition.tier],
        f"{line.venue_class}_W_SMBL_FIRM",
        issueSymbolIdentifier=line.symbol,
        issueName=line.name,
        productTypeCode=line.tape,
        marketParticipantName=line.venue,
        MPID=line.mpid or None,
        firmCRDNumber=line.crd or None,
        totalWeeklyShareQuantity=Decimal(_number(line.shares)),
        totalWeeklyTradeCount=line.trades,
        lastUpdateDate=line.updated.isoformat(),
        initialPublishedDate=str(line.published),
        totalNotionalSum=None if line.notional is None else line.notional / MICRO,
    )


def _firm(row: dict[str, Any]) -> Firm:
    named = (row["MPID"] or "", row["firmCRDNumber"] or 0, row["marketParticipantName"])
    return Firm(row["summaryTypeCode"][:3], *named, int(row["totalWeeklyShareQuantity"] * MICRO))


def _canonical(content: bytes) -> list[tuple[str, ...]]:
    """The rows of a stored document, read by its header line."""
    lines = [line for line in content.decode().splitlines() if not line.startswith("#")]
    names = lines[0].split("|")
    wanted = [names.index(name) for name in _COMPARED]
    return sorted(tuple(fields[at] for at in wanted) for fields in (line.split("|") for line in lines[1:]))


_COMPARED = (
    "issueSymbolIdentifier",
    "issueName",
    "productTypeCode",
    "summaryTypeCode",
    "MPID",
    "firmCRDNumber",
    "marketParticipantName",
    "totalWeeklyShareQuantity",
    "totalWeeklyTradeCount",
    "totalNotionalSum",
    "lastUpdateDate",
    "initialPublishedDate",
)


def _fields(line: Line) -> tuple[str, ...]:
    return (
        line.symbol,
        line.name,
        line.tape,
        f"{line.venue_class}_W_SMBL_FIRM",
        line.mpid,
        str(line.crd or ""),
        line.venue,
        _number(line.shares),
        str(line.trades),
        "" if line.notional is None else _number(line.notional),
        str(line.updated),
        str(line.published),
    )


def _number(micros: int) -> str:
    whole, rest = divmod(micros, MICRO)
    return f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)
