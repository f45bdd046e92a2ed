"""Who trades what where, invented at FINRA's proportions: the securities, venues and firms a generated file is about.

Everything follows from a seed by integer steps, literals and the four basic operations, so it is the same on every
machine and Python version (only `random.Random.random` is used, whose stream Python promises to keep).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Venue:
    """An ATS (with an MPID) or another firm (with a CRD number, but for the De Minimis Firms).

    `reach`: the part of the securities it trades; `weight`: its volume relative to others; `lot`: shares a trade.
    """

    mpid: str
    crd: str
    name: str
    reach: float
    weight: float
    lot: int


@dataclass(frozen=True, slots=True)
class Issue:
    """A security. `api_only`: told from another by its product type alone, which the 8-column download does not have."""

    symbol: str
    name: str
    product_type: str
    weight: float
    price_cents: int
    api_only: bool = False


class Seat(NamedTuple):
    """A venue that trades a security: a row in most weeks. `weight` is the shares it trades in a middling week."""

    issue: Issue
    venue: Venue
    weight: float


@dataclass(frozen=True, slots=True)
class Tier:
    """How a tier looks: FINRA's names for it, the part of their reach venues have in it, its largest security's volume."""

    name: str
    identifier: str
    description: str
    venues: tuple[Venue, ...]
    density: float
    largest: float
    fractions: bool
    wild: bool = False  # figures stray twice as far from week to week


def _venues(table: str) -> tuple[Venue, ...]:
    """MPID, CRD, name, reach, weight and lot, a venue a line; an ATS's name begins with its MPID."""
    venues = []
    for line in table.strip("\n").splitlines():
        mpid, crd, name, reach, weight, lot = (field.strip() for field in line.split("|"))
        venues.append(Venue(mpid, crd, f"{mpid} {name}".strip(), float(reach), float(weight), int(lot)))
    return tuple(venues)


# Reach, weight and lot follow the few NMS rows and the three OTC files FINRA's own numbers are known from.
_NMS_ATS = _venues("""
ALPX |         | X US                                         |  0.95 |   0.02 | 95
AQUA |         | SECURITIES BLOCK CROSSING                    |  0.45 |   0.02 | 4100
BIDS |         | TRADING                                      |   1.0 |    0.3 | 330
BLKX |         | INSTINET BLOCKCROSS                          |   0.6 |   0.05 | 6400
BLUE |         | BLUE OCEAN ALTERNATIVE TRADING SYSTEM        |   0.9 |  0.015 | 60
BNPX |         | BNP PARIBAS CORTEX                           |  0.97 |   0.08 | 130
BOSS |         | BOSONIC ATS                                  |  0.75 |  0.001 | 29
CGXS |         | CITI CROSS                                   |  0.99 |   0.25 | 107
CODA |         | MARKETS                                      |  0.97 |   0.01 | 66
DBAX |         | SUPERX ATS                                   |  0.96 |    0.1 | 110
EBXL |         | LEVEL ATS                                    |   1.0 |   0.65 | 58
IATS |         | IBKR ATS                                     |  0.99 |   0.11 | 150
ICBX |         | INSTINET CONTINUOUS BLOCK CROSSING SYSTEM    |  0.98 |   0.28 | 130
IEOS |         | INTELLIGENT CROSS ODD                        |   0.7 |  0.001 | 31
INCR |         | INTELLIGENT CROSS LLC                        |   1.0 |   0.95 | 71
ITGP |         | POSIT                                        |  0.97 |    0.1 | 250
JPBX |         | JPB-X                                        |  0.98 |   0.24 | 92
JPMX |         | JPM-X                                        |  0.99 |    0.3 | 110
KCGM |         | VIRTU MATCHIT                                |  0.98 |   0.14 | 94
LATS |         | THE BARCLAYS ATS                             |  0.98 |   0.15 | 100
LQNA |         | LIQUIDNET H2O                                |  0.65 |   0.04 | 3400
LQNT |         | LIQUIDNET ATS                                |   0.4 |   0.05 | 12600
MLIX |         | INSTINCT X                                   |   1.0 |   0.45 | 100
MOON |         | MOONSHOT ATS                                 |   0.7 |  0.001 | 38
MSPL |         | MS POOL (ATS-4)                              |  0.99 |   0.35 | 200
MSRP |         | MS RETAIL POOL (ATS-6)                       |   0.9 |  0.012 | 40
MSTX |         | MS TRAJECTORY CROSS (ATS-1)                  |  0.98 |    0.5 | 58
ONEC |         | ONECHRONOS MARKETS                           |  0.95 |   0.06 | 110
PURE |         | PURESTREAM TRADING TECHNOLOGIES              |  0.96 |   0.36 | 76
SGMT |         | SIGMA X2                                     |   1.0 |   0.55 | 65
STFX |         | STIFEL X                                     |   0.6 |  0.003 | 51
UBSA |         | UBS ATS                                      |   1.0 |    1.3 | 92
USTK |         | USTOCKTRADE SECURITIES                       |   0.3 | 0.0005 | 12
XSTM |         | CROSSSTREAM                                  |   0.9 |   0.08 | 258
""")
_FIRMS = _venues("""
     |         | De Minimis Firms                             |  0.95 |    3.6 | 40
     | 9000117 | HARBORLIGHT SECURITIES LLC                   |  0.95 |    7.2 | 48
     | 9000223 | MERIDIAN CREST AMERICAS LLC                  |  0.93 |    4.2 | 52
     | 9000341 | FIRST PIKE EXECUTION SERVICES, LLC           |   0.9 |    2.6 | 46
     | 9000482 | STONE & LARKSPUR CAPITAL, LLC                |   0.9 |    2.2 | 60
     | 9000519 | TWO HARVESTS SECURITIES, LLC                 |  0.85 |    1.2 | 70
     | 9000676 | OLD EXCHANGE  MARKETS (U.S.) INC.            |  0.75 |    0.5 | 150
     | 9000703 | GREENWICH & HUDSON CO. LLC                   |   0.7 |    0.6 | 210
     | 9000858 | ALDERGATE FINANCIAL SERVICES INC             |   0.6 |   0.12 | 90
     | 9000964 | QUAYSIDE/NORTHERN BROKERS L.P.               |  0.45 |   0.08 | 400
""")
_OTC_VENUES = _venues("""
ALTS |         | LODAS SECURITIES ALTERNATIVE TRADING SYSTEM  | 0.002 |   0.01 | 40
ARCA |         | GLOBAL OTC                                   |  0.28 |   0.09 | 140
OTCN |         | OTC LINK NQB IDQS                            |  0.74 |    1.0 | 1400
OTCX |         | OTC LINK ECN ATS                             |  0.56 |   0.22 | 700
PPEX |         | NORTH CAPITAL PRIVATE SECURITIES CORPORATION |  0.14 | 0.0005 | 8
PROS |         | TZERO SECURITIES LLC                         | 0.002 |   0.02 | 90
SMKT |         | SECURITIZE MARKETS ATS                       | 0.001 |   0.01 | 40
STEN |         | STARTENGINE SECONDARY                        | 0.001 |  0.001 | 20
SWCL |         | INX SECURITIES, LLC                          | 0.001 |    0.9 | 2000
     |         | De Minimis Firms                             |   0.3 |    0.1 | 900
     | 9000117 | HARBORLIGHT SECURITIES LLC                   |  0.26 |    0.5 | 1800
     | 9000858 | ALDERGATE FINANCIAL SERVICES INC             |   0.1 |   0.06 | 1100
""")

TIERS = {
    "NMS_TIER_1": Tier("NMS_TIER_1", "T1", "NMS Tier 1", _NMS_ATS + _FIRMS, 1.03, 1.2e7, True),
    "NMS_TIER_2": Tier("NMS_TIER_2", "T2", "NMS Tier 2", _NMS_ATS + _FIRMS, 0.5, 8e6, True),
    "OTC": Tier("OTC", "OTCE", "OTC", _OTC_VENUES, 1.0, 1.5e7, False, wild=True),
}

# What real weeks have and a random symbol would not: class shares, a preferred after `$`, the same letters in another
# case, a security in two tiers, one ticker with two names, one name on two tapes. (symbol, name or "", product, api_only)
_HEADS: dict[str, tuple[tuple[str, str, str, bool], ...]] = {
    "NMS_TIER_1": (
        ("AAPL", "Apple Inc. Common Stock", "UTP", False), ("BRK.B", "Berkshire Hathaway Inc. Class B", "CTS", False),
        ("BF.A", "Brown Forman Corporation  Class A", "CTS", False),
        ("BAC$L", "Bank of America Corporation Non Cumulative Perpetual Conv Pfd Ser L", "CTS", False),
        ("CLVR", "", "CTS", False), ("CLVRW", "", "CTS", False), ("CLVRw", "", "CTS", False), ("A", "", "CTS", False),
        ("MRDN", "Meridian Grove Bancorp, Inc. Common Stock", "UTP", False),
        ("MRDN", "Meridian Grove Bancorp, Inc. Common Stock", "CTS", True),
    ),
    "NMS_TIER_2": (
        ("CLVR", "", "CTS", False), ("TDEL$A", "", "CTS", False), ("TDEL", "", "CTS", False), ("HLNA.U", "", "CTS", False),
        ("RNQA", "Ranquist Therapeutics, Inc. Common Stock", "UTP", False),
        ("RNQA", "Ranqua Holdings Inc  Common Stock", "UTP", False),
    ),
    "OTC": (
        ("GTIV", "", "OTCE", False), ("AABX", "Asia Harvest  Broadband Inc Common Stock", "OTCE", False),
        ("ACLZF", "Atcow Ltd  Cl I Nv Cda Ordinary Shares", "OTCE", False),
        ("AFSXP", "AmTrestle Financial Services, Inc. Depositary Shares, each Representing 1/40th of a Share of 7.25% "
         "Non Cumulative Preferred Stock, Series B", "OTCE", False),
        ("AIKUY", "L'Aire Fluide Ord American Depositary Shares", "OTCE", False),
    ),
}  # fmt: skip


def _words(text: str) -> list[str]:
    return text.split("|")


_FIRST = _words(
    "Alder|Amber|Arbor|Ashford|Atlas|Aurora|Baybridge|Beacon|Birchwood|Blue Heron|Brightwater|Calder|"
    "Canyon|Cascade|Cedar Point|Chestnut|Clearfield|Cobalt|Copper Ridge|Coral|Crestview|Delta|Dunmore|"
    "Eastgate|Elmwood|Everglade|Fairmont|Falcon|Fieldstone|Foxglove|Garnet|Glacier|Golden Mesa|Granite|"
    "Harbor|Hawthorn|Helios|Highland|Ironwood|Juniper|Keystone|Lakeshore|Larkin|Lighthouse|Lodestar|"
    "Magnolia|Maple Leaf|Marlin|Meadow|Mesa Verde|Monarch|Northfield|Oak Hill|Obsidian|Onyx|Orchard|"
    "Palisade|Pinnacle|Prairie|Quarry|Redwood|Riverbend|Saffron|Sierra|Silver47|Solstice|Sterling|Summit|"
    "Tamarack|Tideline|Trillium|Umber|Vanguardia|Vista|Walnut|Westbrook|Willow|Yarrow|Zephyr"
)
_SECOND = _words(
    "Acquisition|Aerospace|Analytics|Bancorp|Biosciences|Brands|Capital|Communications|Dynamics|Energy|"
    "Entertainment|Financial|Foods|Genetics|Gold Mining|Health Sciences|Hospitality|Industries|"
    "Infrastructure|Innovations|Insurance|Logistics|Materials|Medical Technologies|Minerals|Networks|"
    "Oil & Gas|Optoelectronics|Pharmaceuticals|Properties|Resources|Robotics|Semiconductor|Software|Systems|"
    "Therapeutics|Water Utilities"
)
_NMS_FORMS = _words(
    "Inc. Common Stock|Corp. Common Stock|Inc. Class A Common Stock|Inc. Common Stock|Ltd. Ordinary Shares|"
    "Inc. Common Stock|PLC American Depositary Shares|Trust Shares of Beneficial Interest|ETF|Fund|"
    "LP Common Units|Inc. Com Par $0.001|Corp. Warrants, each for 1/2 of a Share|NV Shares"
)
_OTC_FORMS = _words(
    "Inc Common Stock|Corp. Common Stock|Ltd Ordinary Shares (Canada)|AG Unsponsored ADR (Germany)|"
    "Inc Common Stock|Ltd. Sponsored American Depository Receipt (Hong Kong)|INC COM NEW (Canada)|"
    "PLC Ordinary Shares|HLDGS INC CL A|LLC MEMBERSHIP INT SER - #58|CV 5.15% PFD SECS 10/15/2037|"
    "SpA Ordinary Shares"
)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HALF = 2.0  # the rank, per hundred securities, at which a security trades a quarter of what the largest trades


@lru_cache(maxsize=8)
def seats(tier: str, wanted: int, seed: int) -> tuple[Seat, ...]:
    """At least `wanted` seats of a tier, sorted by symbol, then MPID with the firms that have none last."""
    shape = TIERS[tier]
    issues = _issues(shape, seed)
    chosen: list[tuple[Issue, list[tuple[Venue, float]]]] = []
    count, draw = 0, Random(_seed(seed, tier, "seats")).random
    while count < wanted:
        issue, density = next(issues), shape.density * (0.6 + 0.8 * draw())
        here = [(venue, 0.4 + 1.2 * draw()) for venue in shape.venues if draw() < venue.reach * density]
        chosen.append((issue, here))
        count += len(here)
    rank = _shuffled(len(chosen), draw)
    half = _HALF * (1 + len(chosen) / 100)
    size = [half / (half + place) for place in rank]
    result = [
        Seat(issue, venue, shape.largest * issue.weight * size[n] * size[n] * venue.weight * taste)
        for n, (issue, here) in enumerate(chosen)
        for venue, taste in here
    ]
    return tuple(sorted(result, key=order))


def order(seat: Seat) -> tuple[str, str, str, bool, str, str]:
    issue, venue = seat.issue, seat.venue
    return issue.symbol, issue.name, issue.product_type, not venue.mpid, venue.mpid, venue.name


def _issues(shape: Tier, seed: int) -> Iterator[Issue]:
    """Securities without end: first the odd ones, then any."""
    taken = set()
    for symbol, name, product_type, api_only in _HEADS[shape.name]:
        taken.add(symbol)
        yield _issue(symbol, name, product_type, api_only)
    draw = Random(_seed(seed, shape.name, "symbols")).random
    while True:
        symbol = _otc_symbol(draw()) if shape.name == "OTC" else _nms_symbol(draw())
        if symbol not in taken:
            taken.add(symbol)
            yield _issue(symbol, "", "OTCE" if shape.name == "OTC" else "UTP" if len(symbol) == 4 else "CTS", False)


def _issue(symbol: str, name: str, product_type: str, api_only: bool) -> Issue:
    """The same symbol has the same name and price in every tier and file."""
    draw = Random(zlib.crc32(symbol.encode())).random
    first, second = _pick(_FIRST, draw()), _pick(_SECOND, draw())
    form = _pick(_OTC_FORMS if product_type == "OTCE" else _NMS_FORMS, draw())
    spaces = "  " if draw() < 0.03 else " "
    made = f"{first} {second}{spaces}{form}"
    if product_type == "OTCE" and draw() < 0.25:
        made = made.upper()
    return Issue(symbol, name or made, product_type, 0.3 + draw(), 50 + int(draw() * draw() * 40_000), api_only)


def _nms_symbol(u: float) -> str:
    """One to four letters, mostly four and three, some with a class or a preferred series."""
    kind, u = _split(u, 100)
    length = 4 if kind < 62 else 3 if kind < 95 else 2
    root, u = _word(u, length)
    suffix = ("", ".A", ".B", "$A", "$C", "w")[kind - 88] if 88 <= kind < 94 else ""
    return root + suffix


def _otc_symbol(u: float) -> str:
    """Five letters for foreign shares and receipts, four for the others."""
    kind, u = _split(u, 100)
    root, u = _word(u, 4)
    return root + ("" if kind < 20 else "F" if kind < 62 else "Y" if kind < 86 else "S" if kind < 95 else "P")


def _word(u: float, length: int) -> tuple[str, float]:
    letters = ""
    for _ in range(length):
        index, u = _split(u, 26)
        letters += _LETTERS[index]
    return letters, u


def _split(u: float, parts: int) -> tuple[int, float]:
    """Which of `parts` equal parts of [0, 1) `u` lies in, and where in that part."""
    scaled = u * parts
    return int(scaled), scaled - int(scaled)


def _pick(words: list[str], u: float) -> str:
    return words[int(u * len(words))]


def _shuffled(count: int, draw: Callable[[], float]) -> list[int]:
    """The ranks below `count`, the first for the first security and the others at random."""
    keys = [(draw() if n else 0.0, n) for n in range(count)]
    ranks = [0] * count
    for rank, (_, n) in enumerate(sorted(keys)):
        ranks[n] = rank
    return ranks


def _seed(*parts: object) -> int:
    return zlib.crc32("|".join(map(str, parts)).encode())
