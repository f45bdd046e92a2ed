# %% [markdown]
# # A backtest without look-ahead
#
# A model runs every Friday and uses a symbol's newest weekly volume. FINRA publishes a week 17 days after its end or later, so on
# a Friday nobody has the week that ends on it. Joining on `week_ending` gives the model figures from the future; joining
# on `known_from` and `known_to` does not.

# %%
import os
from datetime import date, timedelta
from pathlib import Path

from svg import chart

import market_spine

SYMBOL, FRIDAYS = "BF.A", [date(2025, 12, 26) + timedelta(weeks=n) for n in range(6)]
store = market_spine.open(os.environ.get("MARKET_SPINE_DB", "data/market_spine.db"))
versions = store.volume(SYMBOL, tier="T1").all_releases().rows()

# %% [markdown]
# The volume of a week as it was known on a day: the sum of the versions that were known then.


# %%
def known_volume(week: str, day: date) -> float | None:
    known = [row for row in versions if row.week_ending == week and row.known_from <= str(day) < (row.known_to or "9")]
    return sum(row.total_shares for row in known) if known else None


def newest_known(day: date) -> tuple[str, float]:
    weeks = sorted({row.week_ending for row in versions}, reverse=True)
    return next((week, volume) for week in weeks if (volume := known_volume(week, day)) is not None)


# %% [markdown]
# What the model may use on each Friday, and what it would use if it took the week that ends on that day, as it stands today.

# %%
honest, cheating = [], []
today = store.volume(SYMBOL, tier="T1").latest().rows()
for friday in FRIDAYS:
    week, volume = newest_known(friday)
    ahead = sum(row.total_shares for row in today if row.week_ending == str(friday)) or None
    honest.append(volume)
    cheating.append(ahead)
    print(f"{friday}: known is the week ending {week}, {volume:,.0f} shares; with look-ahead: {ahead or 'not published'}")

# %%
labels = [f"{friday:%m-%d}" for friday in FRIDAYS]
series = {"known on that day": honest, "with look-ahead": cheating}
Path("backtest.svg").write_text(chart(f"{SYMBOL}: the weekly shares that a model sees on each Friday", labels, series), "utf-8")

# %% [markdown]
# The same figures come from `as_of`, one day at a time: what the store held at the end of that day.

# %%
held = store.volume(SYMBOL, tier="T1", week="2025-12-26").as_of("2026-01-23").rows()
print("held on 2026-01-23:", sum(row.total_shares for row in held), "known:", known_volume("2025-12-26", date(2026, 1, 23)))
