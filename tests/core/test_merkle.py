"""The tree of RFC 6962: against its published test vectors, and against the RFC's own definition written down once more."""

from __future__ import annotations

from hashlib import sha256

import pytest

from market_spine.core import merkle

# The test vectors of the reference implementation of RFC 6962 (certificate-transparency, merkle_tree_test): entries and roots.
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]
MANY = [merkle.leaf_hash(str(number).encode()) for number in range(67)]


def mth(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, word for word."""
    n = len(entries)
    if n == 0:
        return sha256(b"").digest()
    if n == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = max(2**i for i in range(n.bit_length()) if 2**i < n)
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_the_roots_of_the_published_vectors(size: int) -> None:
    assert merkle.root_of(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert merkle.root(()) == sha256(b"").digest()


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 9, 31, 33, 64, 67])
def test_a_root_equals_the_definition(size: int) -> None:
    assert merkle.root_of(MANY[:size]) == mth([str(number).encode() for number in range(size)])


def test_the_right_edge_has_a_node_for_each_bit_of_the_size() -> None:
    edge: merkle.Frontier = ()
    for size, leaf in enumerate(MANY):
        edge = merkle.append(edge, size, leaf)
        assert len(edge) == (size + 1).bit_count()


def test_each_leaf_is_proved_and_nothing_else_is() -> None:
    for size in range(1, len(MANY) + 1):
        root = merkle.root_of(MANY[:size])
        for index in range(size):
            proof = merkle.inclusion_proof(MANY[:size], index)
            assert merkle.verify_inclusion(MANY[index], index, size, proof, root)
            assert not merkle.verify_inclusion(MANY[(index + 1) % 67], index, size, proof, root)
            assert not merkle.verify_inclusion(MANY[index], (index + 1) % size, size, proof, root) or size == 1
            assert not merkle.verify_inclusion(MANY[index], index, size, [*proof, root], root)


def test_each_beginning_is_proved_and_no_other_history_is() -> None:
    for size in range(1, len(MANY) + 1):
        new = merkle.root_of(MANY[:size])
        for earlier in range(1, size + 1):
            old, proof = merkle.root_of(MANY[:earlier]), merkle.consistency_proof(MANY[:size], earlier)
            assert merkle.verify_consistency(earlier, size, old, new, proof)
            assert not merkle.verify_consistency(earlier, size, MANY[0][::-1], new, proof)
            if earlier < size:
                assert not merkle.verify_consistency(earlier, size, old, MANY[0][::-1], proof)
                assert not merkle.verify_consistency(earlier, size, old, new, [*proof, new])


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_an_index_outside_the_tree_is_proved_by_nothing(index: int, size: int) -> None:
    assert not merkle.verify_inclusion(LEAVES[0], index, size, [], LEAVES[0])
