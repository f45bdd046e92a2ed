"""Delivers a notice through apprise (extra `notify`), which supports mail, Slack, PagerDuty, webhooks and a hundred more.

apprise is imported only when there is something to send, since the import takes a third of a second.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from market_spine.config import mask
from market_spine.errors import ConfigurationError, MarketSpineError
from market_spine.monitor import alerts
from market_spine.monitor.alerts import Action, Notice

PACKAGE = "apprise"
_PAGERDUTY = "pagerduty"
_PACE_SECONDS = 0.5


class NotDelivered(MarketSpineError):
    """A service rejected a message."""

    exit_code = 1


class Channel:
    """One notification URL. Its service object is kept between messages, so that apprise can pace them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._address = ""
        self._service: Any = None

    def send(self, notice: Notice, context: Mapping[str, str], card: str = "") -> None:
        """Sends one notice. Raises ConfigurationError for a URL apprise does not know, else NotDelivered."""
        with _Captured() as captured:
            service = self._open(addressed(self._url, notice))
            try:
                delivered = service.notify(
                    body=alerts.body(notice, context, card), title=alerts.title(notice), notify_type=_type_of(notice)
                )
            except Exception as error:  # an error in a plugin must not block the other channels
                raise NotDelivered(f"{mask(self._url, whole=True)}: {type(error).__name__}: {error}") from error
        if not delivered:
            why = "; ".join(captured.messages) or "no reason given"
            raise NotDelivered(f"{mask(self._url, whole=True)} rejected the message: {why}", hint="spine notify test")

    def _open(self, address: str) -> Any:
        import apprise

        if address != self._address:
            asset = apprise.AppriseAsset(
                app_id="Market Spine",
                app_desc="FINRA OTC Transparency",
                async_mode=False,
                storage_mode="memory",
                image_url_mask="",
            )
            self._service = service = apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
            self._address = address
            if service is not None and service.request_rate_per_sec == apprise.NotifyBase.request_rate_per_sec:
                service.request_rate_per_sec = _PACE_SECONDS  # where the service has no limit of its own
        if self._service is None:
            message = f"--notify {mask(self._url, whole=True)} is not an address apprise supports"
            raise ConfigurationError(message, hint="spine notify --help")
        return self._service


def addressed(url: str, notice: Notice) -> str:
    """The URL, for PagerDuty with its incident key and action, which tie messages together."""
    parts = urlsplit(url)
    if parts.scheme.lower() != _PAGERDUTY:
        return url
    action = "resolve" if notice.action is Action.OVER else "trigger"
    query = [pair for pair in parse_qsl(parts.query) if pair[0] not in ("action", "dedup")]
    return parts._replace(query=urlencode([*query, ("action", action), ("dedup", notice.event.key)])).geturl()


def _type_of(notice: Notice) -> str:
    if notice.action is Action.OVER:
        return "success"
    return {"INFO": "info", alerts.NOTICE: "info", "WARN": "warning"}.get(notice.event.severity, "failure")


class _Captured(logging.Handler):
    """Collects why apprise could not deliver, instead of letting it write to stderr."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._logger = logging.getLogger("apprise")
        self._propagated = self._logger.propagate

    def __enter__(self) -> _Captured:
        self._logger.addHandler(self)
        self._logger.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagated

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(" ".join(record.getMessage().split()))
