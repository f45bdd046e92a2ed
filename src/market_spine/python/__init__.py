"""The Python API: a store opened for reading, queries of it, and their results as rows, Arrow, pandas and polars."""

from market_spine.errors import NotReady
from market_spine.python.provenance import Provenance
from market_spine.python.query import Query
from market_spine.python.result import Readiness, Result
from market_spine.python.store import Store, open
from market_spine.query.sources import Source

__all__ = ["NotReady", "Provenance", "Query", "Readiness", "Result", "Source", "Store", "open"]
