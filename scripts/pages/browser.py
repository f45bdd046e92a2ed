"""Debian's Chromium: a page in a theme, at a width, with or without scripts, and what axe-core and the console say of it."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

AXE = Path(__file__).parent / "axe" / "axe.min.js"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--force-color-profile=srgb",
)
_RUN_AXE = "const done = arguments[0]; axe.run({resultTypes: ['violations']}).then(found => done(found.violations));"


@dataclass
class Browser:
    """A session; `base` is the address of the server."""

    driver: webdriver.Chrome
    base: str
    _axe: str = field(default_factory=lambda: AXE.read_text("utf-8"))

    def open(self, path: str, theme: str = "light", width: int = 1280, *, scripts: bool = True) -> None:
        self._do("Emulation.setScriptExecutionDisabled", value=not scripts)
        self._do("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": theme}])
        self._do("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.driver.get(self.base + path)

    def emulate_print(self, theme: str) -> None:
        """Shows the page as it is printed."""
        self._do("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": theme}])

    def faults(self) -> list[str]:
        """What axe-core finds, of any impact."""
        self.driver.execute_script(self._axe)
        found = self.driver.execute_async_script(_RUN_AXE)
        return [
            f"{fault['id']}: {node['html'][:120]} {node['failureSummary'][:300]}"
            for fault in found
            for node in fault["nodes"][:3]
        ]

    def complaints(self) -> list[str]:
        """The console, since the last time."""
        return [entry["message"] for entry in self._log("browser")]

    def requests(self) -> set[str]:
        """What was requested, since the last time."""
        messages = (json.loads(entry["message"])["message"] for entry in self._log("performance"))
        sent = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
        return {url for url in sent if not url.startswith("data:")}

    def is_wider_than_the_window(self) -> bool:
        return bool(self.driver.execute_script("return document.documentElement.scrollWidth > innerWidth"))

    def picture(self, height: int | None = None) -> bytes:
        """The page as PNG, all of it unless a height is given."""
        size = self.driver.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": height or size[1], "scale": 1}
        return base64.b64decode(self._do("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"])

    def _log(self, name: str) -> list[Any]:
        return list(self.driver.get_log(name))  # type: ignore[no-untyped-call]

    def _do(self, command: str, **given: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, given)


@contextmanager
def browsing(base: str) -> Iterator[Browser]:
    """A session of its own."""
    assert hashlib.sha256(AXE.read_bytes()).hexdigest() == AXE_SHA256
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in _ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield Browser(driver, base)
    finally:
        driver.quit()
