"""The Merkle tree of RFC 6962: its root from the right edge alone, and proofs that somebody else can check.

Pure functions over 32-byte SHA-256 hashes. `frontier` holds the roots of the perfect subtrees that the leaves so far form,
largest first, one for each bit set in their number: an append and a root take O(log n) of them, and no scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

HASH_SIZE = 32
Frontier = tuple[bytes, ...]


def leaf_hash(content: bytes) -> bytes:
    """Of one entry (RFC 6962, 2.1): the prefix keeps a leaf from being taken for a node."""
    return sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def append(frontier: Frontier, size: int, leaf: bytes) -> Frontier:
    """The right edge of `size` leaves after one more."""
    edge, node = list(frontier), leaf
    while size & 1:  # each bit set at the end of the number is a subtree that the new leaf makes perfect
        node = node_hash(edge.pop(), node)
        size >>= 1
    return (*edge, node)


def root(frontier: Frontier) -> bytes:
    """The root of the whole tree; of no leaves it is the hash of nothing."""
    if not frontier:
        return sha256(b"").digest()
    *rest, node = frontier
    for left in reversed(rest):
        node = node_hash(left, node)
    return node


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root of these leaf hashes."""
    edge: Frontier = ()
    for size, leaf in enumerate(leaves):
        edge = append(edge, size, leaf)
    return root(edge)


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings on the way from the leaf at `index` to the root, lowest first (RFC 6962, 2.1.1)."""
    if len(leaves) <= 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root_of(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root_of(leaves[:split])]


def consistency_proof(leaves: Sequence[bytes], earlier: int) -> list[bytes]:
    """What shows that the tree of the first `earlier` leaves is the beginning of this one (RFC 6962, 2.1.2)."""
    return _consistency(leaves, earlier, whole=True) if 0 < earlier < len(leaves) else []


def _consistency(leaves: Sequence[bytes], earlier: int, *, whole: bool) -> list[bytes]:
    if earlier == len(leaves):
        return [] if whole else [root_of(leaves)]
    split = _split(len(leaves))
    if earlier <= split:
        return [*_consistency(leaves[:split], earlier, whole=whole), root_of(leaves[split:])]
    return [*_consistency(leaves[split:], earlier - split, whole=False), root_of(leaves[:split])]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> bool:
    """Whether the tree of `size` leaves with the root `expected` holds the leaf at `index` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, position, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:  # the right edge skips the levels at which it has no sibling
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and node == expected


def verify_consistency(earlier: int, size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a tree of `size` leaves begins with the tree of `earlier` leaves (RFC 9162, 2.1.4.2)."""
    if earlier == size:
        return not proof and old_root == new_root
    if not 0 < earlier < size or not proof:
        return False
    path = list(proof) if earlier & (earlier - 1) else [old_root, *proof]  # a perfect tree is its own first node
    position, last = earlier - 1, size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and (old, new) == (old_root, new_root)


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1
