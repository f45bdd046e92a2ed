# %% [markdown]
# # Concentration before and after a restatement
#
# FINRA restates weeks. The store keeps what a week was before, and from when to when it was that: here the HHI of every symbol
# of one week, in its first release and in the latest one.

# %%
import os
from pathlib import Path

from svg import chart

import market_spine

store = market_spine.open(os.environ.get("MARKET_SPINE_DB", "data/market_spine.db"))
query = store.hhi(tier="T1", week="2025-12-26", every_symbol=True)
before, after = query.first_release().to_polars(), query.latest().to_polars()

# %% [markdown]
# The captures of the two releases:

# %%
for result in (query.first_release(), query.latest()):
    print(result, [(capture.capture_id[-8:], capture.content_hash) for capture in result.captures])

# %% [markdown]
# Joined by symbol, those that moved most first; the row without a symbol is the tier.

# %%
both = before.join(after, on="symbol", suffix="_after").select("symbol", "hhi", "hhi_after")
moved = both.with_columns(change=both["hhi_after"] - both["hhi"])
moved = moved.filter(moved["change"] != 0)
moved = moved.sort(moved["change"].abs(), descending=True)
for symbol, old, new, change in moved.iter_rows():
    print(f"{symbol or 'NMS_TIER_1':<10} {old:.6f} → {new:.6f}  {change:+.6f}")

# %% [markdown]
# The symbol that moved most, over the weeks: as first released, and as known now.

# %%
if moved.is_empty():
    raise SystemExit("nothing was restated in this store: load the revision in the README first")
symbol = moved["symbol"][0]
weeks = store.hhi(tier="T1", symbol=symbol, not_ready="omit")
first, latest = weeks.first_release().rows(), weeks.latest().rows()
series = {"first release": [row.hhi for row in first], "latest": [row.hhi for row in latest]}
picture = chart(f"HHI of {symbol}, as first released and as known now", [row.week_ending[5:] for row in latest], series)
Path("hhi_restatement.svg").write_text(picture, "utf-8")
