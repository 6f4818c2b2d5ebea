"""What comes back: every byte, every id and every field as it was given, under a hash that proves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore.chain import GENESIS, event_hash
from eventstore.log import JSON, PURGES, Append, Log
from eventstore.testing.opening import Opening, datas, event, events, write

OPAQUE = {
    "nothing": b"",
    "not JSON": b"{node: a}",
    "half of JSON": b'{"node":',
    "two of JSON": b"{} {}",
    "not UTF-8": b'"\xff\xfe"',
    "half a character": "é".encode()[:1],
    "a lone surrogate": b'"\xed\xa0\x80"',
    "an escaped lone surrogate": rb'"\ud800"',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "newlines inside": b'{\n"a":\r\n1}',
    "a newline behind": b"{}\n",
    "only a newline": b"\n",
    "white space around": b" \t{ }\r ",
    "line separators": '"a\u2028b\u2029c\u0085d"'.encode(),
    "NULs": b"\0\0\0",
    "an escaped NUL": rb'"\u0000"',
    "all bytes": bytes(range(256)),
    "repeated keys": b'{"a":1,"a":2}',
    "keys in their order": b'{"b":1,"a":2}',
    "an integer beyond 64 bits": b"[18446744073709551616,-99999999999999999999999]",
    "numbers in their spelling": b"[1.0,1e2,1E+2,-0,-0.0,0.10,1e400,1.00000000000000000000001]",
    "escapes in their spelling": rb'"\u0041\/\u00e9"',
    "NaN": b"NaN",
    "1,000 levels": b"[" * 1000 + b"]" * 1000,
    "1,000 levels of objects": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "only closing brackets": b"]" * 1000,
    "a megabyte of JSON": b'"' + b"x" * 1_000_000 + b'"',
    "a megabyte of bytes": bytes(range(256)) * 4096,
    "what looks like a commit": b'{"sum":"0000000000000000","commit":1}',
}
STREAM_IDS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=250
).filter(PURGES.__ne__)


class Named(str, Enum):  # noqa: UP042  # unlike a StrEnum, its members are formatted as their names
    """Texts as many programs keep them."""

    STREAM = "the stream"
    TYPE = "the.type"
    CONTENT = "text/plain"
    KEY = "the key"
    VALUE = "the value"


# How long a durable append takes is not for this contract to say.
patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Keeping(Opening):
    """The log looks into nothing it is given."""

    @pytest.mark.parametrize("content_type", [JSON, "application/octet-stream"])
    @pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in OPAQUE.items()])
    def test_data_comes_back_byte_for_byte(self, log: Log, data: bytes, content_type: str) -> None:
        log.append([Append("a", [event(b"1"), event(data, content_type=content_type), event(b"2")])])

        assert datas(log.read("a")) == [b"1", data, b"2"]
        assert datas(log.read_all(backward=True)) == [b"2", data, b"1"]
        assert next(log.read("a", after=1)).content_type == content_type

    def test_any_data_comes_back_byte_for_byte(self, log: Log) -> None:
        @patiently
        @given(st.lists(st.binary(), min_size=1), st.sampled_from([JSON, "text/plain"]))
        def comes_back(wanted: list[bytes], content_type: str) -> None:
            after = log.head()
            log.append([Append("a", [event(data, content_type=content_type) for data in wanted])])
            assert datas(log.read_all(after=after)) == wanted

        comes_back()

    @pytest.mark.parametrize(
        "stream",
        [
            "run-1",
            "RUN-1",
            " ",
            "..",
            "../../etc/passwd",
            "/",
            "a:b|c*?",
            "_log",
            "naïve",
            "nai\u0308ve",
            "工作流",
            "🦄" * 100,
            "\u2028",
            "\n",
            "'; DROP TABLE events; --",
            "%",
            "x" * 1000,
        ],
    )
    def test_stream_ids_and_types_can_be_any_text(self, log: Log, stream: str) -> None:
        """Two ids are the same only if they are the same characters: nothing is folded, trimmed or normalised."""
        for each in (stream, stream.swapcase() + "x", stream + " "):
            log.append([Append(each, [event(type=each, meta={each: each})], 0)])
            (found,) = log.read(each)
            assert (found.stream, found.type, found.meta, log.version(each)) == (each, each, {each: each}, 1)
            assert list(log.read_all(types=[each])) == [found]

    def test_any_two_stream_ids_are_two_streams(self, log: Log) -> None:
        @patiently
        @given(st.lists(STREAM_IDS, min_size=2, max_size=4, unique=True))
        def are_separate(streams: list[str]) -> None:
            before = [log.version(stream) for stream in streams]
            log.append([Append(stream, [event(stream.encode())]) for stream in streams])
            for stream, version in zip(streams, before, strict=True):
                assert datas(log.read(stream, after=version)) == [stream.encode()]

        are_separate()

    def test_every_field_of_an_event_comes_back(self, log: Log) -> None:
        given = event(
            b"\x00\x01",
            type="taskStarted",
            id=UUID("00112233-4455-6677-8899-aabbccddeeff"),
            schema=7,
            time=datetime(2001, 2, 3, 4, 5, 6, 789_012, UTC),
            meta={"correlation": "c-1", "causation": "e-1", "actor": "ada", "": "ü\n"},
            content_type="application/cbor",
        )
        log.append([Append("a", [given])])

        (found,) = log.read("a")

        assert (found.id, found.type, found.data, found.schema) == (given.id, given.type, given.data, given.schema)
        assert (found.time, found.meta, found.content_type) == (given.time, given.meta, given.content_type)
        assert list(found.meta) == list(given.meta)

    def test_members_of_enumerations_are_kept_as_their_values(self, log: Log) -> None:
        given = event(b"1", type=Named.TYPE, content_type=Named.CONTENT, meta={Named.KEY: Named.VALUE})
        log.append([Append(Named.STREAM, [given])])
        (kept,) = log.read("the stream")
        assert (kept.stream, kept.type, kept.content_type) == ("the stream", "the.type", "text/plain")
        assert kept.meta == {"the key": "the value"}
        assert log.append([Append(Named.STREAM, [given])]).repeated

    @pytest.mark.parametrize("id", [UUID(int=0), UUID(int=1), UUID(int=2**128 - 1)])
    def test_any_uuid_is_an_event_id(self, log: Log, id: UUID) -> None:
        write(log, "a")
        given = [Append("a", [event(id=id)])]
        assert not log.append(given).repeated
        assert [e.id for e in log.read("a", after=1)] == [id]
        assert log.append(given).repeated

    @pytest.mark.parametrize(
        "time",
        [
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
            datetime(2026, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=5, minutes=45))),
            datetime(1937, 1, 1, 12, 0, 27, 87, tzinfo=timezone(timedelta(minutes=19, seconds=32))),
            datetime(2026, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(microseconds=1))),
        ],
        ids=str,
    )
    def test_a_writers_time_is_kept_to_the_microsecond_and_comes_back_in_utc(self, log: Log, time: datetime) -> None:
        appended = log.append([Append("a", [event(time=time)])])

        (found,) = log.read("a")

        assert (found.time, found.time.utcoffset()) == (time, timedelta(0))
        assert appended.events == (found,)

    def test_the_hash_is_what_it_is_on_every_backend(self, log: Log) -> None:
        """The bytes under it are written out in `eventstore.chain`; these were computed without that code."""
        one = event(
            b"\x00\xff",
            type="taskStarted",
            id=UUID("00112233-4455-6677-8899-aabbccddeeff"),
            schema=7,
            time=datetime(2001, 2, 3, 5, 5, 6, 789_012, timezone(timedelta(hours=1))),
            meta={"b": "ü", "a": "2"},
            content_type="application/cbor",
        )
        two = event(type="taskEnded", id=UUID(int=1), time=datetime(2001, 2, 3, 4, 5, 7, tzinfo=UTC))
        log.append([Append("é", [one, two])])

        assert [e.hash for e in log.read("é")] == [
            "0fed9554ccde1835cbfe37c7288bc6db8f6b2f992573d514b93ba5f6de8a2f0a",
            "c75e6f50b5f809fffe03eea62d382dba65aed5956f1e45071d9e39b61b7af312",
        ]

    def test_each_hash_covers_the_streams_previous_one_and_the_event_as_it_is_read(self, log: Log) -> None:
        """So any later change can be found, in whatever backend the event has been copied to meanwhile."""
        offset = timezone(timedelta(minutes=19, seconds=32))
        log.append([Append("a", events(2)), Append("b", events(2)), Append("a", events(1))])
        log.append([Append("b", [event(b"\xff", meta={"b": "1", "a": "2"}, time=datetime(1937, 1, 1, tzinfo=offset))])])
        write(log, "a", 2)

        hashes = {"a": GENESIS, "b": GENESIS}
        for found in log.read_all():
            assert found.hash == event_hash(hashes[found.stream], found.stream, found.version, found)
            hashes[found.stream] = found.hash

        assert len(set(hashes.values())) == 2
