"""FINRA's own names for its tiers, mapped where content enters; the rest of the program uses ours."""

from __future__ import annotations

from collections.abc import Mapping

from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, check_tier

# FINRA's tierIdentifier and tierDescription → our tier.
TIER_OF_CODE: Mapping[str, str] = {
    "T1": NMS_TIER_1,
    "T2": NMS_TIER_2,
    "OTCE": OTC,
    "NMS Tier 1": NMS_TIER_1,
    "NMS Tier 2": NMS_TIER_2,
    "OTC": OTC,
}
CODE_OF_TIER: Mapping[str, str] = {NMS_TIER_1: "T1", NMS_TIER_2: "T2", OTC: "OTCE"}


def tier_of(text: str) -> str:
    """A tier in any case, or FINRA's name of it: T1, T2, OTCE. Raises UnknownTier."""
    return check_tier(TIER_OF_CODE.get(text.upper(), text.upper()))
