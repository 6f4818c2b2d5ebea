"""A log remembers the heads of streams; when others have moved them meanwhile, it is as if it did not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import get_args

import pytest

from eventstore.errors import WrongExpectedVersion
from eventstore.log import ANY, EXISTS, Append, Expect
from eventstore.postgres import Ordering, PostgresLog
from tests.crash.oracle import check_streams

from .held import Place, written


@pytest.fixture
def log(place: Place) -> Iterator[PostgresLog]:
    """One that remembers version 2 of `stream` and of `other`."""
    with closing(place.open()) as opened:
        opened.append([Append("stream", written(2))])
        opened.append([Append("other", written(2))])
        yield opened


@pytest.fixture(params=get_args(Ordering))
def elsewhere(place: Place, request: pytest.FixtureRequest) -> Iterator[PostgresLog]:
    """Another process, in effect."""
    with closing(place.open(request.param)) as opened:
        yield opened


@pytest.mark.parametrize("expected", [3, ANY, EXISTS])
@pytest.mark.parametrize("size", [1, 4])
def test_what_others_appended_is_continued(
    log: PostgresLog, elsewhere: PostgresLog, expected: int | Expect, size: int
) -> None:
    elsewhere.append([Append("stream", written())])
    assert log.append([Append("stream", written(size), expected)]).versions == {"stream": 3 + size}
    check_streams(log, list(log.read_all()))


@pytest.mark.parametrize("size", [1, 4])
def test_a_version_that_was_right_before_others_appended_is_wrong(
    log: PostgresLog, elsewhere: PostgresLog, size: int
) -> None:
    elsewhere.append([Append("stream", written())])
    with pytest.raises(WrongExpectedVersion) as refused:
        log.append([Append("other", written()), Append("stream", written(size), expected=2)])
    assert refused.value.violations == (("stream", 2, 3),)
    assert log.version("other") == 2


@pytest.mark.parametrize("size", [1, 4])
def test_a_stream_that_others_purged_begins_anew(log: PostgresLog, elsewhere: PostgresLog, size: int) -> None:
    elsewhere.purge("stream")
    assert log.append([Append("stream", written(size))]).versions == {"stream": size}
    check_streams(log, list(log.read_all()))


@pytest.mark.parametrize(("expected", "told"), [(2, 2), (EXISTS, EXISTS.value)])
def test_a_stream_that_others_purged_is_not_there(
    log: PostgresLog, elsewhere: PostgresLog, expected: int | Expect, told: int | str
) -> None:
    elsewhere.purge("stream")
    with pytest.raises(WrongExpectedVersion) as refused:
        log.append([Append("stream", written(), expected)])
    assert refused.value.violations == (("stream", told, 0),)


@pytest.mark.parametrize("size", [1, 4])
def test_a_stream_that_others_purged_and_made_anew_is_continued_as_it_is(
    log: PostgresLog, elsewhere: PostgresLog, size: int
) -> None:
    elsewhere.purge("stream")
    elsewhere.append([Append("stream", written(2))])
    assert log.append([Append("stream", written(size), expected=2)]).versions == {"stream": 2 + size}
    check_streams(log, list(log.read_all()))


def test_the_version_of_a_stream_that_is_only_named_is_the_one_it_has(log: PostgresLog, elsewhere: PostgresLog) -> None:
    elsewhere.append([Append("other", written())])
    assert log.append([Append("stream", written()), Append("other")]).versions == {"stream": 3, "other": 3}
