from market_spine.library import NotReady as NotReady
from market_spine.library import Provenance as Provenance
from market_spine.library import Query as Query
from market_spine.library import Readiness as Readiness
from market_spine.library import Result as Result
from market_spine.library import Source as Source
from market_spine.library import Store as Store
from market_spine.library import open as open

__version__: str
