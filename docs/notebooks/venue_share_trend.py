# %% [markdown]
# # Venue share, week by week
#
# Which venues gain, and which lose? Each venue's share of the volume of NMS Tier 1, in every week that is ready. Run it with
# `python docs/notebooks/venue_share_trend.py`, or open it as a notebook in Jupyter or VS Code.

# %%
import os
from pathlib import Path

from svg import chart

import market_spine

store = market_spine.open(os.environ.get("MARKET_SPINE_DB", "data/market_spine.db"))
result = store.venue_share(tier="T1", not_ready="omit").latest()
print(result)

# %% [markdown]
# A row for each week and venue becomes a table of weeks × venues. `De Minimis Firms` is not a venue: it is all firms that FINRA
# does not name in a symbol, so it is left out of the picture.

# %%
frame = result.to_pandas()
named = frame[frame["venue_name"] != "De Minimis Firms"]
shares = named.pivot_table(index="week_ending", columns="venue_name", values="share")
largest = shares.mean().nlargest(3).index
print(shares[largest].round(4).to_string())

# %%
weeks = [f"{week:%m-%d}" for week in shares.index]
picture = chart("Share of NMS Tier 1 volume", weeks, {name: shares[name].tolist() for name in largest})
Path("venue_share_trend.svg").write_text(picture, "utf-8")

# %% [markdown]
# What to cite of these figures: the captures they rest on, and the state of the log of events.

# %%
print(store.provenance(result))
