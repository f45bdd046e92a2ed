"""One form for a partition's rows, whatever order and format they came in, so that equal content has an equal hash.

    # market-spine canonical 1
    # dataset otcMarket/weeklySummary
    # filter weekStartDate = 2025-12-22
    # …
    # fields weekStartDate|tierIdentifier|…
    # rows 72000
    weekStartDate|tierIdentifier|…
    2025-12-22|T1|A|Agilent Technologies Inc. Common Stock|CTS|…

UTF-8, LF, one header line, rows sorted by their bytes, numbers as plain decimals without idle zeros, absent values empty.
Values are not quoted, unless one holds the delimiter or begins with a quote: then the whole document is quoted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from operator import eq

from market_spine.calendar.tiers import CODE_OF_TIER, TIER_OF_CODE
from market_spine.categories import Category
from market_spine.errors import Unproved
from market_spine.partition import Partition

# The fields kept. tierDescription and summaryStartDate only repeat the first two.
FIELDS = (
    "weekStartDate",
    "tierIdentifier",
    "issueSymbolIdentifier",
    "issueName",
    "productTypeCode",
    "marketParticipantName",
    "MPID",
    "firmCRDNumber",
    "summaryTypeCode",
    "totalWeeklyShareQuantity",
    "totalWeeklyTradeCount",
    "totalNotionalSum",
    "lastUpdateDate",
    "initialPublishedDate",
    "lastReportedDate",
)
# The other summary types are sums of these and would double the volume.
SUMMARY_TYPES = ("ATS_W_SMBL_FIRM", "OTC_W_SMBL_FIRM")

_NUMBERS = frozenset({"firmCRDNumber", "totalWeeklyShareQuantity", "totalWeeklyTradeCount", "totalNotionalSum"})
_PLAIN_DIGITS = 30  # beyond this a number is not a quantity but an attack on memory
_SEPARATOR = "\x1f"  # between values while collecting: no value can hold it
_CONTROL = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029], " ")


class Collector:
    """Collects a partition's rows page by page, keeping only their lines, and builds the document."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._week, self._code = partition.monday.isoformat(), CODE_OF_TIER[partition.tier]
        self._lines: list[bytes] = []
        self.updated: tuple[str, str] | None = None  # oldest and newest lastUpdateDate
        self.repeated = 0  # rows equal to another one: FINRA publishes such rows, but a shifted page repeats rows too

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Adds rows; those of other summary types are left out. Raises Unproved on a row of another week or tier."""
        for row in rows:
            self._check(row)
            if row.get("summaryTypeCode") in SUMMARY_TYPES:
                values = values_of(row)
                values[1] = self._code
                self._see_date(values[12])
                self._lines.append(_SEPARATOR.join(values).encode())

    def document(self) -> bytes:
        """The whole content. Empties the collector and sets `repeated`."""
        lines, self._lines = sorted(self._lines), []
        self.repeated = sum(map(eq, lines, lines[1:]))
        frame = self._frame(len(lines))
        header = _SEPARATOR.join(FIELDS).encode()
        body = b"\n".join([header, *lines, b""])
        del lines
        if b"|" in body or b'\n"' in body or b'\x1f"' in body:
            body = _quoted(body)
        return frame + body.replace(b"\x1f", b"|")

    def _check(self, row: Mapping[str, object]) -> None:
        week = str(row.get("weekStartDate"))[:10]
        code = row.get("tierIdentifier") or row.get("tierDescription")
        if week != self._week or TIER_OF_CODE.get(str(code)) != self._partition.tier:
            raise Unproved(
                Category.SOURCE_FOREIGN_ROWS,
                f"requested week {self._week} of {self._code}, got a row of {week} of {code}",
                hint="run again later; if it persists, FINRA's filters have changed",
            )

    def _see_date(self, day: str) -> None:
        if day:
            oldest, newest = self.updated or (day, day)
            self.updated = (min(oldest, day), max(newest, day))

    def _frame(self, rows: int) -> bytes:
        # weeklySummaryHistoric holds the same data, archived; its name here would make old weeks look revised.
        return (
            "# market-spine canonical 1\n"
            "# dataset otcMarket/weeklySummary\n"
            f"# filter weekStartDate = {self._week}\n"
            f"# filter tierIdentifier = {self._code}\n"
            f"# filter summaryTypeCode in {', '.join(SUMMARY_TYPES)}\n"
            f"# fields {'|'.join(FIELDS)}\n"
            f"# rows {rows}\n"
        ).encode()


def values_of(row: Mapping[str, object]) -> list[str]:
    """A row's values in the order of FIELDS, each in its canonical form; a missing one is empty."""
    return [number_text(row.get(name)) if name in _NUMBERS else text(row.get(name)) for name in FIELDS]


def text(value: object) -> str:
    """A text value: absent is '', a control character a space. Nothing is trimmed: double spaces are real."""
    if value is None:
        return ""
    words = value if isinstance(value, str) else str(value)
    return words if words.isprintable() else words.translate(_CONTROL).encode("utf-8", "replace").decode()


def number_text(value: object) -> str:
    """A number as a plain decimal: 1.5118719960275284E10 → 15118719960.275284, "10.000000" → 10, absent → ''.

    What is not a number is kept unchanged: normalization rejects that row with its reason.
    """
    if type(value) is int:
        return str(value)
    if value is None or value == "":
        return ""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return text(value)
    if not number.is_finite() or abs(number.adjusted()) > _PLAIN_DIGITS:
        return text(value)
    plain = format(number, "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain in ("-0", "") else plain


def newest(updated: tuple[str, str] | None) -> date | None:
    """The newest lastUpdateDate as a date; None where it is not one."""
    try:
        return date.fromisoformat(updated[1][:10]) if updated else None
    except ValueError:
        return None


def _quoted(body: bytes) -> bytes:
    lines = body[:-1].split(b"\n")
    return b"".join(b'"' + line.replace(b'"', b'""').replace(b"\x1f", b'"\x1f"') + b'"\n' for line in lines)
