"""What part of a process's CPU is spent in some of its functions."""

from __future__ import annotations

import time
from collections.abc import Callable


class Spent:
    """CPU seconds within some functions; what one calls of the others counts once."""

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0

    def counted(self, function: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **named: object) -> object:
            began, self._depth = time.process_time(), self._depth + 1
            try:
                return function(*given, **named)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.process_time() - began

        return call
