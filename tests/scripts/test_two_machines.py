"""Two machines on one PostgreSQL server, in network namespaces of their own. More: `python scripts two_machines`."""

from __future__ import annotations

import pytest
from torture.two_machines import is_possible, machines


@pytest.mark.slow
@pytest.mark.skipif(not is_possible(), reason="only root may make network namespaces")
def test_one_works_the_other_waits_and_a_cut_cable_costs_nothing() -> None:
    with machines() as pair:
        pair.together("wait")
        pair.cut()
        pair.cut_workers()

    assert pair.wrong == []
    assert pair.ends["together, wait: [0, 0]"] == 1
    assert pair.ends["workers: the item in hand was taken over"] == 1
    assert set(pair.ends) & {"cut: first 75, second 0", "cut: first 2, second 0", "cut: first was done, second 0"}
