"""The hash tree of RFC 6962, section 2.1: one digest for a whole list, and short proofs that something is in it.

A leaf's hash is the SHA-256 of 0x00 and its bytes, a node's that of 0x01 and its two children's hashes, so neither can
be taken for the other. A list is split at the largest power of two below its length; which comes to the same as joining
the hashes of a level in pairs and letting a last one without a partner rise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import zip_longest


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root of the list's tree; for no leaves the SHA-256 of nothing. Keeps no more than one hash for each level."""
    peaks: list[tuple[int, bytes]] = []
    for leaf in leaves:
        size, digest = 1, _leaf_hash(leaf)
        while peaks and peaks[-1][0] == size:
            size, digest = size * 2, _node_hash(peaks.pop()[1], digest)
        peaks.append((size, digest))
    if not peaks:
        return hashlib.sha256().digest()
    root = peaks.pop()[1]
    while peaks:
        root = _node_hash(peaks.pop()[1], root)
    return root


def proof_of(leaves: Sequence[bytes], place: int) -> list[bytes]:
    """What has to be known besides the leaf at this place (from 0) to come to the root: hashes, lowest level first."""
    proof, level = [], [_leaf_hash(leaf) for leaf in leaves]
    while len(level) > 1:
        if place ^ 1 < len(level):
            proof.append(level[place ^ 1])
        pairs = zip_longest(level[::2], level[1::2])
        level = [left if right is None else _node_hash(left, right) for left, right in pairs]
        place //= 2
    return proof


def proves(proof: Iterable[bytes], leaf: bytes, place: int, size: int, root: bytes) -> bool:
    """Whether the proof shows that the list of so many leaves with this root has this leaf at this place."""
    if not 0 <= place < size:
        return False
    digest, rest = _leaf_hash(leaf), list(reversed(list(proof)))
    while size > 1:
        if place ^ 1 < size:
            if not rest:
                return False
            digest = _node_hash(rest.pop(), digest) if place & 1 else _node_hash(digest, rest.pop())
        place, size = place // 2, (size + 1) // 2
    return not rest and digest == root


def _leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\0" + leaf).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
