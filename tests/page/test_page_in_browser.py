"""The pages in Debian's Chromium: no fault of axe-core, nothing on the console, nothing from elsewhere, and a newcomer's tasks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from pages.browser import CHROMIUM, DRIVER, Browser, browsing
from pages.demonstration import DEADLINE, PAGES, served
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from market_spine import clock
from market_spine.db import connect
from market_spine.operate import anomalies
from market_spine.page import demo
from market_spine.partition import OTC

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER) and not os.environ.get("CI"), reason="no Chromium here: apt-get install chromium chromium-driver"
)


@pytest.fixture(scope="module")
def browser(sqlite_demo: str) -> Iterator[Browser]:
    """HTML is the same on both engines (test_pages.py), so one is looked at."""
    with served(sqlite_demo) as base, browsing(base) as opened:
        yield opened


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_no_page_has_a_fault_and_none_asks_elsewhere(browser: Browser, theme: str, width: int) -> None:
    faults = {}
    for path in PAGES:
        browser.open(path, theme, width)
        faults[path] = [*browser.faults(), *browser.complaints(), *["wider than the window"] * browser.is_wider_than_the_window()]
    assert {path: each for path, each in faults.items() if each} == {}
    assert {url for url in browser.requests() if not url.startswith(browser.base)} == set()


def test_without_scripts_every_page_and_chart_is_there(browser: Browser) -> None:
    browser.open("/venues/UBSA", scripts=False)
    assert len(browser.driver.find_elements(By.CSS_SELECTOR, "svg circle title")) > 5
    browser.open("/", scripts=False)
    assert browser.driver.find_elements(By.CSS_SELECTOR, "button:not(form button)") == []  # none that does nothing
    browser.driver.find_element(By.CSS_SELECTOR, ".heat td.failed a").click()
    assert browser.driver.title.startswith("OTC, week ending 2025-12-26")


def test_every_cell_is_reached_by_the_keyboard(browser: Browser) -> None:
    browser.open("/weeks")
    cells = browser.driver.find_elements(By.CSS_SELECTOR, ".heat td a")
    assert {cell.get_property("tabIndex") for cell in cells} == {0}
    first = cells[0]
    first.send_keys(Keys.ARROW_DOWN)
    beneath = browser.driver.switch_to.active_element
    assert first.get_attribute("aria-label").split(", ", 1)[1].split(":")[0] in str(beneath.get_attribute("aria-label"))
    beneath.send_keys(Keys.ARROW_RIGHT)
    beside = browser.driver.switch_to.active_element
    assert beside.get_attribute("aria-label") == browser.driver.find_element(By.CSS_SELECTOR, ".readout").text
    beside.send_keys(Keys.ENTER)
    assert "week ending" in browser.driver.title


def test_a_newcomer_finds_what_is_not_ready_why_and_what_to_type(browser: Browser) -> None:
    """Each in at most three clicks from the front page."""
    browser.open("/")
    assert "2 weeks blocked" in main(browser)
    command = browser.driver.find_element(By.CSS_SELECTOR, ".command code").text
    assert command.startswith("spine backfill --weeks 2025-12-26 --tiers OTC")
    browser.driver.find_element(By.CSS_SELECTOR, ".command button").click()
    browser.driver.find_element(By.LINK_TEXT, "Weeks").click()  # 1
    blocked = browser.driver.find_element(By.CSS_SELECTOR, "section:last-of-type .rows").text
    assert [week for week in ("2025-12-19", "2025-12-26") if week in blocked] == ["2025-12-19", "2025-12-26"]
    browser.driver.find_element(By.CSS_SELECTOR, ".heat td.held a").click()  # 2
    assert "one venue looks doubled; asked FINRA" in main(browser)
    assert "spine release 2025-12-19 OTC" in main(browser)


def main(browser: Browser) -> str:
    return browser.driver.find_element(By.TAG_NAME, "main").text


HOSTILE = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'-alert(1)-'", "{{7*7}}{% raw %}", "</title><script>alert(1)</script>",
    "javascript:alert(1)", "<svg/onload=alert(1)>", "&lt;b&gt;", "</pre></code><iframe src=//elsewhere>", "\u202egnp.exe", "<!-- --!>",
]


def test_hostile_words_stay_words(browser: Browser, sqlite_demo: str) -> None:
    db = connect(sqlite_demo)
    for word in HOSTILE:
        anomalies.raise_anomaly(db, demo.DAY, OTC, "WARN", word, clock.moment_of(demo.DAY))
    db.close()
    browser.open("/anomalies?severity=WARN")
    shown = main(browser)
    assert [word for word in HOSTILE if " ".join(word.split()) not in shown] == []
    assert browser.driver.find_elements(By.CSS_SELECTOR, "main script, main img, main iframe, main svg") == []
    assert browser.complaints() == []


def test_search_leads_to_a_symbol_and_shows_what_was_asked_as_it_is(browser: Browser) -> None:
    browser.open("/symbols")
    browser.driver.find_element(By.ID, "search").send_keys("brk" + Keys.ENTER)
    browser.driver.implicitly_wait(DEADLINE)  # the key submits the form a moment later
    browser.driver.find_element(By.LINK_TEXT, "BRK.B").click()
    browser.driver.implicitly_wait(0)
    assert browser.driver.find_element(By.TAG_NAME, "h1").text == "BRK.B"
    browser.open(f"/symbols?q={json.dumps(HOSTILE[1])}")
    assert browser.driver.find_elements(By.CSS_SELECTOR, "main img") == []


def test_paper_is_light_whatever_the_theme(browser: Browser) -> None:
    browser.open("/", "dark")
    browser.emulate_print("dark")
    colours = browser.driver.execute_script(
        "const style = getComputedStyle(document.body);"
        "return [style.backgroundColor, style.color, getComputedStyle(document.querySelector('nav')).display]"
    )
    assert colours == ["rgb(255, 255, 255)", "rgb(26, 32, 40)", "none"]
