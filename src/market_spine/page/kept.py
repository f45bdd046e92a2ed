"""The pages that were written last: one whose tag is the same is not written again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from fastapi import Response

_MOST_BYTES = 16 << 20


class Written(NamedTuple):
    """A page as it is sent. Each response is made anew, since sending changes its headers."""

    body: bytes
    headers: Mapping[str, str]

    def response(self) -> Response:
        return Response(self.body, headers=dict(self.headers))


class Kept:
    """Pages by their ETag, which changes with every event, the day and the address; those asked for longest ago go first."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most, self._bytes = most_bytes, 0
        self._pages: OrderedDict[str, Written] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, tag: str) -> Written | None:
        """The page of that tag, if it is kept."""
        with self._lock:
            if tag in self._pages:
                self._pages.move_to_end(tag)
            return self._pages.get(tag)

    def put(self, tag: str, page: Written) -> None:
        """Keeps a page."""
        with self._lock:
            if tag not in self._pages:
                self._pages[tag] = page
                self._bytes += len(page.body)
            while self._bytes > self._most:
                _, oldest = self._pages.popitem(last=False)
                self._bytes -= len(oldest.body)
