"""The open connections of an HTTP client, so that another thread can end whatever it waits for.

A socket's timeout starts again with every byte: a server that sends one byte a minute would hold a request for ever, in its
headers as in its body. A socket that is shut down ends the read at once, in any thread.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class Sockets:
    """The sockets that an adapter has opened, and the reasons to open no more: a limit that has passed, or a stop."""

    def __init__(self) -> None:
        self.expired = False
        self.stopped = threading.Event()
        self._open: WeakSet[socket.socket] = WeakSet()

    @property
    def ended(self) -> bool:
        return self.expired or self.stopped.is_set()

    @contextlib.contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Ends what the block waits for once these seconds have passed."""
        self.expired = False
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def pause(self, seconds: float) -> bool:
        """Sleeps; True, at once, when it was stopped."""
        return self.stopped.wait(max(seconds, 0.0))

    def stop(self) -> None:
        """From another thread: nothing is read any more, now or later."""
        self.stopped.set()
        self._shut()

    def add(self, opened: socket.socket | None) -> None:
        """A new connection; one that comes too late is shut down."""
        if opened is not None:
            self._open.add(opened)
        if self.ended:
            self._shut()

    def _expire(self) -> None:
        self.expired = True
        self._shut()

    def _shut(self) -> None:
        for opened in list(self._open):
            with contextlib.suppress(OSError):  # already closed
                socket.socket.shutdown(opened, socket.SHUT_RDWR)  # of TLS, too, without its farewell


class Adapter(HTTPAdapter):
    """Sends requests on connections that `sockets` knows."""

    def __init__(self, sockets: Sockets, **settings: Any) -> None:
        self._pools = _pools(sockets)
        super().__init__(**settings)

    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        super().init_poolmanager(*given, **named)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *given: Any, **named: Any) -> Any:
        manager = super().proxy_manager_for(*given, **named)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(sockets: Sockets) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
