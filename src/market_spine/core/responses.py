"""finra_otc_transparency_response: the HTTP responses that a stored content was made from; bodies that are kept are in RAW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from market_spine.core import contents
from market_spine.db import Database


class Received(NamedTuple):
    """A response as a source hands it over: its body's SHA-256 and size, what its headers say, and when it was received by our
    clock. `packed` is the compressed body, where bodies are kept."""

    content_sha256: str
    size: int
    http_status: int
    request_id: str | None
    record_total: int | None
    record_offset: int | None
    finra_date: str | None
    received_at: str
    packed: bytes | None = None


class Response(NamedTuple):
    """A row of the table."""

    capture_id: str
    ingest_no: int
    page_no: int
    content_sha256: str
    http_status: int
    request_id: str | None
    record_total: int | None
    record_offset: int | None
    finra_date: str | None
    received_at: str
    size: int
    is_kept: int

    def entry(self) -> dict[str, object]:
        """The response, for machines."""
        return self._asdict() | {"is_kept": bool(self.is_kept)}


def record(db: Database, capture_id: str, ingest_no: int, received: Iterable[Received]) -> None:
    """Writes the responses of a content, numbered from 1, in the place of those it had. Call it inside a transaction."""
    db.execute(
        "DELETE FROM finra_otc_transparency_response WHERE capture_id = ? AND ingest_no = ?", (capture_id, ingest_no)
    )
    rows = []
    for page_no, one in enumerate(received, 1):
        if one.packed is not None:
            contents.store_packed(db, one.packed, one.size, one.content_sha256)
        rows.append(
            Response(
                capture_id, ingest_no, page_no, one.content_sha256, one.http_status, one.request_id, one.record_total,
                one.record_offset, one.finra_date, one.received_at, one.size, int(one.packed is not None),
            )
        )
    db.bulk_insert("finra_otc_transparency_response", Response._fields, rows)


def carry_over(db: Database, capture_id: str, ingest_no: int, carried_id: str) -> None:
    """Gives a content that is carried over to another capture its responses there as well. Call it inside a transaction."""
    carried = [row._replace(capture_id=carried_id) for row in of_content(db, capture_id, ingest_no)]
    db.bulk_insert("finra_otc_transparency_response", Response._fields, carried)


def of_content(db: Database, capture_id: str, ingest_no: int) -> list[Response]:
    """The responses a content was made from, in the order they were received; none for a file, or where none were recorded."""
    rows = db.execute(
        """
        SELECT capture_id, ingest_no, page_no, content_sha256, http_status, request_id, record_total, record_offset, finra_date,
               received_at, size, is_kept
        FROM finra_otc_transparency_response WHERE capture_id = ? AND ingest_no = ? ORDER BY page_no
        """,
        (capture_id, ingest_no),
    ).fetchall()
    return [Response._make(row) for row in rows]
