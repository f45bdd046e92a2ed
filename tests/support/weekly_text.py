"""Weekly files as short texts, and what the reader makes of them."""

from __future__ import annotations

from datetime import date

from market_spine.parse import weekly_file
from market_spine.parse.weekly_file import WeeklyFile
from market_spine.partition import Partition

T1 = Partition(date(2025, 12, 26), "NMS_TIER_1")
HEADER = (
    "tierDescription|issueSymbolIdentifier|issueName|marketParticipantName|MPID|"
    "totalWeeklyShareQuantity|totalWeeklyTradeCount|lastUpdateDate\n"
)
GOOD = "NMS Tier 1|AAPL|Apple Inc. Common Stock|UBSA UBS ATS|UBSA|100|5|2026-01-12\n"
API_HEADER = (
    "weekStartDate|tierIdentifier|issueSymbolIdentifier|issueName|productTypeCode|marketParticipantName|MPID|firmCRDNumber|"
    "summaryTypeCode|totalWeeklyShareQuantity|totalWeeklyTradeCount|totalNotionalSum|lastUpdateDate\n"
)

SUMMARY_LAST = "MPID|issueSymbolIdentifier|marketParticipantName|totalWeeklyTradeCount|totalWeeklyShareQuantity|summaryTypeCode\n"


def read(text: str | bytes, partition: Partition = T1, block: int = 1 << 20) -> WeeklyFile:
    content = text.encode() if isinstance(text, str) else text
    return weekly_file.read((content[at : at + block] for at in range(0, len(content), block)), partition)


def row(shares: str = "100", trades: str = "5", symbol: str = "AAPL", mpid: str = "UBSA", venue: str = "UBSA UBS ATS") -> str:
    return f"NMS Tier 1|{symbol}|Apple Inc. Common Stock|{venue}|{mpid}|{shares}|{trades}|2026-01-12\n"


def reasons(file: WeeklyFile) -> list[tuple[int, str]]:
    return [(reject.line_number, reject.reason) for reject in file.rejects]


def api_row(summary: str = "ATS_W_SMBL_FIRM", mpid: str = "UBSA", crd: str = "", venue: str = "UBSA UBS ATS", **more: str) -> str:
    facts = {"week": "2025-12-22", "tier": "T1", "symbol": "AAPL", "shares": "100", "notional": "1.5E4", "product": "UTP", **more}
    return (
        f"{facts['week']}|{facts['tier']}|{facts['symbol']}|Apple Inc.|{facts['product']}|{venue}|{mpid}|{crd}|{summary}|"
        f"{facts['shares']}|5|{facts['notional']}|2026-01-12\n"
    )
