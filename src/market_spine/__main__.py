"""`python -m market_spine` is `spine`."""

from market_spine.cli.entry import spine

if __name__ == "__main__":
    spine()
