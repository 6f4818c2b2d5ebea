"""The hash tree of RFC 6962."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.merkle import proof_of, proves, root_of

LEAVES = [bytes.fromhex(leaf) for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
LEAVES += [bytes.fromhex("606162636465666768696a6b6c6d6e6f")]
ROOTS = [  # the test data of Certificate Transparency
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

lists = st.lists(st.binary(max_size=3), max_size=40)


@pytest.mark.parametrize("size", range(9))
def test_the_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert root_of(LEAVES[:size]).hex() == ROOTS[size]


def by_definition(leaves: list[bytes]) -> bytes:
    """The root as the RFC defines it."""
    if len(leaves) < 2:
        return hashlib.sha256(b"".join(b"\0" + leaf for leaf in leaves)).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + by_definition(leaves[:split]) + by_definition(leaves[split:])).digest()


@given(lists)
def test_the_root_is_the_one_of_the_definition(leaves: list[bytes]) -> None:
    assert root_of(iter(leaves)) == by_definition(leaves)


@given(lists.filter(bool), st.data())
def test_a_proof_proves_its_leaf_at_its_place_and_no_other(leaves: list[bytes], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(leaves) - 1))
    proof, size, root = proof_of(leaves, place), len(leaves), root_of(leaves)
    assert proves(proof, leaves[place], place, size, root)
    assert not proves(proof, leaves[place] + b"x", place, size, root)
    assert not proves([*proof, root], leaves[place], place, size, root)
    assert not proves(proof[:-1], leaves[place], place, size, root) or not proof
    assert not proves(proof, leaves[place], size, size, root)
    assert not proves(proof, leaves[place], -1, size, root)
    elsewhere = data.draw(st.integers(0, len(leaves) - 1))
    if leaves[elsewhere] != leaves[place]:
        assert not proves(proof, leaves[place], elsewhere, size, root)
