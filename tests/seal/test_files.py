"""The file of a seal: it reads back as it was, and whatever was changed in it, it is refused."""

from __future__ import annotations

import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from eventstore.errors import EventStoreError, InvalidInput, UnsupportedSchema
from eventstore.keys import new_key, public_key
from eventstore.seal import (
    BadSeal,
    Seal,
    Signature,
    StreamHead,
    check_signature,
    decode_seal,
    encode_seal,
    make_seal,
    sign_seal,
)

from .forging import NOON

KEY, PUBLIC = new_key()
SMALL = make_seal([StreamHead("b", 2, "22" * 32), StreamHead("a", 1, "11" * 32)], position=7, made_at=NOON)
STATEMENT = (
    b'{"file":"seal","format":1,"made_at":"2026-01-31T12:00:00Z","position":7,"events":3,"streams":2,'
    b'"root":"7e9ad8f3bb737717f23b7bdf9f21f2f44cde8fc78b34f9283b4a83b2e9bc99fe","previous":""}\n'
)


def lines_of(seal: Seal) -> list[bytes]:
    return list(encode_seal(seal))


def test_the_file_says_what_the_format_says() -> None:
    assert lines_of(SMALL) == [
        STATEMENT,
        b'["a",1,"%s"]\n' % (b"11" * 32),
        b'["b",2,"%s"]\n' % (b"22" * 32),
    ]
    assert SMALL.statement.digest == "d8bec421a7fe221876b69a0f02e26ffa575f74e381da89378b7f3ae600af2645"


@pytest.mark.parametrize("which", ["seal", "signed"])
def test_a_seal_reads_back_as_it_was(request: pytest.FixtureRequest, which: str) -> None:
    sealed = request.getfixturevalue(which)
    assert decode_seal(encode_seal(sealed), "it") == sealed


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"hello\n", b"{}\n", b'{"file":"run","format":1}\n', b"\xff\xfe\n", b"[]"]
)
def test_what_is_no_seal_is_refused_as_that(text: bytes) -> None:
    with pytest.raises(InvalidInput, match="it is not a seal"):
        decode_seal([text], "it")


def test_a_seal_of_a_newer_program_is_refused_as_that(seal: Seal) -> None:
    first, *rest = lines_of(seal)
    newer = first.replace(b'"format":1', b'"format":2,"more":"of it"')
    with pytest.raises(UnsupportedSchema):
        decode_seal([newer, *rest], "it")


def test_no_stream_can_be_taken_out_put_in_swapped_or_changed(seal: Seal) -> None:
    first, *heads = lines_of(seal)
    other = b'["another",1,"00"]\n'
    for changed in (
        heads[1:],
        heads[:-1],
        [*heads, heads[-1]],
        [*heads, other],
        [other, *heads],
        [heads[1], heads[0], *heads[2:]],
        [heads[0].replace(b",1,", b",2,"), *heads[1:]],
        [heads[0].replace(b",", b", ", 1), *heads[1:]],
        [*heads[:-1], heads[-1].rstrip(b"\n")],
        [*heads, b"\n"],
        [*heads, b"hello\n"],
        [],
    ):
        with pytest.raises(BadSeal, match="it: its list of streams"):
            decode_seal([first, *changed], "it")


@pytest.mark.parametrize("field", ["events", "streams"])
def test_no_count_can_be_changed(seal: Seal, field: str) -> None:
    wrong = replace(seal.statement, **{field: 3})
    with pytest.raises(BadSeal):
        decode_seal(encode_seal(replace(seal, statement=wrong)), "it")


def test_the_statement_of_one_seal_does_not_go_with_the_streams_of_another(seal: Seal) -> None:
    with pytest.raises(BadSeal):
        decode_seal([lines_of(SMALL)[0], *lines_of(seal)[1:]], "it")


@pytest.mark.parametrize(
    "changed",
    [
        STATEMENT.replace(b":7", b": 7"),
        STATEMENT.replace(b":7", b':7,"position":7'),
        STATEMENT.replace(b":7", b':7,"x":1'),
    ],
)
def test_a_statement_has_one_form_only(changed: bytes) -> None:
    with pytest.raises(BadSeal, match="its statement"):
        decode_seal([changed, *lines_of(SMALL)[1:]], "it")


@given(st.data())
def test_no_byte_of_a_signed_seal_can_be_changed(data: st.DataObject) -> None:
    text = b"".join(encode_seal(sign_seal(SMALL, KEY)))
    place = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.integers(place, min(place + 2, len(text))))
    changed = text[:place] + data.draw(st.binary(max_size=2)) + text[cut:]
    if changed != text:
        with pytest.raises(EventStoreError):
            check_signature(decode_seal(changed.splitlines(keepends=True), "it"), "it", PUBLIC)


def test_a_signed_seal_is_taken_with_its_key_and_without(signed: Seal, key: tuple[bytes, bytes]) -> None:
    check_signature(signed, "it", key[1])
    check_signature(signed, "it")


def test_a_seal_that_somebody_else_has_signed_is_refused(seal: Seal, key: tuple[bytes, bytes]) -> None:
    with pytest.raises(BadSeal, match="it is signed with another key"):
        check_signature(sign_seal(seal, KEY), "it", key[1])


def test_a_seal_that_nobody_has_signed_is_refused_only_if_a_key_is_asked_for(seal: Seal) -> None:
    check_signature(seal, "it")
    with pytest.raises(BadSeal, match="it: nobody has signed it"):
        check_signature(seal, "it", PUBLIC)


@pytest.mark.parametrize("asked", [None, PUBLIC], ids=["any key", "this key"])
def test_a_signature_does_not_go_with_another_statement(seal: Seal, asked: bytes | None) -> None:
    taken = replace(seal, signature=sign_seal(SMALL, KEY).signature)
    with pytest.raises(BadSeal, match="its signature is not of what it says"):
        check_signature(taken, "it", asked)


@pytest.mark.parametrize("text", ["", "00", "zz", "01" * 32, "ü"])
def test_what_is_no_key_and_no_signature_is_refused(seal: Seal, text: str) -> None:
    for signature in (Signature(text, "00" * 64), Signature(public_key(PUBLIC), text)):
        with pytest.raises(BadSeal, match="its signature is not of what it says"):
            check_signature(replace(seal, signature=signature), "it")


def test_the_error_survives_pickling_with_all_its_facts() -> None:
    error = pickle.loads(pickle.dumps(BadSeal("it", "nobody has signed it", "Ask somebody.")))
    assert (str(error), error.code, error.hint) == ("it: nobody has signed it", "bad-seal", "Ask somebody.")
    assert (error.name, error.reason) == ("it", "nobody has signed it")


def test_every_time_has_one_form(seal: Seal) -> None:
    (first, *rest) = lines_of(seal)
    elsewhere = msgspec.json.encode(seal.statement).replace(b"12:00:00Z", b"13:00:00+01:00") + b"\n"
    assert elsewhere != first
    with pytest.raises(EventStoreError):
        check_signature(replace(decode_seal([elsewhere, *rest], "it"), signature=sign_seal(seal, KEY).signature), "it")
