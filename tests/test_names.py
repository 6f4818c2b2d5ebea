"""Names of files for ids of any kind."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventstore.names import decode_name, encode_name
from eventstore.validate import MAX_ID_BYTES

AWKWARD = st.text(st.sampled_from("aA.._%/%2e~é\n"), min_size=1, max_size=MAX_ID_BYTES // 2)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_ID_BYTES // 4)
LONG = st.builds(lambda text, times: (text * times)[: MAX_ID_BYTES // 4], ANY_TEXT, st.integers(1, 256))
IDS = AWKWARD | ANY_TEXT | LONG


@given(IDS)
@example("a" * MAX_ID_BYTES)
@example("." * MAX_ID_BYTES)
@example("🐝" * (MAX_ID_BYTES // 4))
@example("a" * 199 + "._")
def test_an_id_comes_back_from_its_name(id: str) -> None:
    assert decode_name(encode_name(id)) == id


@given(IDS)
@example("..")
@example("../../etc/passwd")
@example("_views.db")
@example("a" * 200 + "/")
@example("a" * 200 + "_b")
@example("a" * 200 + "..")
@example("\0")
def test_every_part_of_a_name_is_safe_on_every_file_system(id: str) -> None:
    for part in encode_name(id).split("/"):
        assert part
        assert part.isascii()
        assert part.isprintable()
        assert part not in (".", "..")
        assert part[0] not in "._"
        assert len(part) < 255


@given(IDS, IDS)
@example("run", "RUN")
@example("a%62", "ab")
@example("a" * 200, "a" * 201)
@example("ß", "ss")
@example("e\N{COMBINING ACUTE ACCENT}", "é")
def test_two_ids_never_share_a_file_even_where_case_is_folded(one: str, other: str) -> None:
    first, second = encode_name(one).casefold(), encode_name(other).casefold()
    assert (first == second) == (one == other)
    assert not first.startswith(second + "/"), "one's folder is the other's file"
    assert not second.startswith(first + "/"), "one's folder is the other's file"


@pytest.mark.parametrize(
    ("id", "name"),
    [
        ("run-1", "run-1"),
        ("v1.2_b", "v1.2_b"),
        ("Run", "%52un"),
        (".hidden", "%2ehidden"),
        ("_log", "%5flog"),
        ("a/b", "a%2fb"),
        ("é", "%c3%a9"),
        ("a" * 200, "a" * 198 + "%/aa"),
    ],
)
def test_names_stay_as_they_were_in_stores_that_exist(id: str, name: str) -> None:
    assert encode_name(id) == name
