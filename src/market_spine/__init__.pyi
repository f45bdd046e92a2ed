from market_spine.python import NotReady as NotReady
from market_spine.python import Provenance as Provenance
from market_spine.python import Query as Query
from market_spine.python import Readiness as Readiness
from market_spine.python import Result as Result
from market_spine.python import Source as Source
from market_spine.python import Store as Store
from market_spine.python import open as open

__version__: str
