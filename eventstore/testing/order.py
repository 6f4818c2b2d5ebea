"""Order: what many threads that write and read at once may rely on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from eventstore.errors import WrongExpectedVersion
from eventstore.log import Append, Appended, Log, RecordedEvent
from eventstore.testing.opening import PATIENCE, Opening, datas, event, in_threads, write


def won(log: Log, stream: str, expected: int) -> bool:
    """Append with this expectation, and say whether it held."""
    try:
        write(log, stream, expected=expected)
    except WrongExpectedVersion:
        return False
    return True


def count_to(log: Log, count: int) -> None:
    """Add so many events to the stream `counter`, each decided on the version that was read before."""
    for _ in range(count):
        assert any(won(log, "counter", log.version("counter")) for _ in range(1_000))


def append_blocks(log: Log, writer: int, count: int) -> list[Appended]:
    """Append commits of five events of one writer, over a stream of its own and one that all share."""
    return [
        log.append(
            [
                Append(f"own-{writer}", [event(b"%d %d" % (writer, number)) for _ in range(3)]),
                Append("shared", [event(b"%d %d" % (writer, number)) for _ in range(2)]),
            ]
        )
        for number in range(count)
    ]


def follow(log: Log, until_seen: int) -> list[list[RecordedEvent]]:
    """Read on from where the last read ended, until so many events are seen; one list for each read."""
    reads: list[list[RecordedEvent]] = []
    cursor = seen = 0
    while seen < until_seen:
        assert log.wait(cursor, PATIENCE)
        reads.append(list(log.read_all(after=cursor)))
        cursor, seen = reads[-1][-1].position, seen + len(reads[-1])
    return reads


class Order(Opening):
    """Writers are put in one order, and every reader sees that order from its beginning."""

    def test_of_eight_writers_with_the_same_expectation_exactly_one_wins(self, log: Log) -> None:
        rounds = list(range(10))

        def race(_: int) -> list[bool]:
            return [won(log, f"s-{number}", 0) for number in rounds]

        races = in_threads(race)

        assert [sum(outcomes) for outcomes in zip(*races, strict=True)] == [1 for _ in rounds]
        assert [log.version(f"s-{number}") for number in rounds] == [1 for _ in rounds]

    def test_eight_writers_without_an_expectation_all_succeed(self, log: Log) -> None:
        def append(_: int) -> list[int]:
            return [write(log, "a", 2).events[0].version for _ in range(10)]

        firsts = [version for each in in_threads(append) for version in each]

        assert sorted(firsts) == list(range(1, 161, 2))
        assert [e.version for e in log.read("a")] == list(range(1, 161))

    def test_writers_who_read_decide_and_retry_lose_no_update(self, log: Log) -> None:
        in_threads(lambda _: count_to(log, 5))

        assert log.version("counter") == 8 * 5

    def test_a_commit_over_two_streams_wins_or_loses_in_both(self, log: Log) -> None:
        """Eight streams in a circle, and eight writers who each want two neighbours that nobody has."""

        def take(number: int) -> bool:
            both = [Append(f"s-{(number + step) % 8}", [event(b"%d" % number)], 0) for step in (0, 1)]
            try:
                log.append(both)
            except WrongExpectedVersion:
                return False
            return True

        winners = [number for number, taken in enumerate(in_threads(take)) if taken]

        owners = [datas(log.read(f"s-{number}")) for number in range(8)]
        assert winners
        assert sum(map(len, owners)) == 2 * len(winners)
        assert all(owners[number] == owners[(number + 1) % 8] == [b"%d" % number] for number in winners)

    def test_commits_of_several_writers_do_not_interleave(self, log: Log) -> None:
        appended = [commit for each in in_threads(lambda writer: append_blocks(log, writer, 10)) for commit in each]

        appended.sort(key=lambda commit: commit.events[0].position)
        assert list(log.read_all()) == [event for commit in appended for event in commit.events]
        for commit in appended:
            first = commit.events[0].position
            assert [e.position for e in commit.events] == list(range(first, first + 5))

    def test_a_follower_misses_nothing_and_sees_every_commit_whole(self, log: Log) -> None:
        """Whatever the writers do: who has seen position p never later finds an event below p."""
        with ThreadPoolExecutor(2) as followers:
            following = [followers.submit(follow, log, 8 * 10 * 5) for _ in range(2)]
            in_threads(lambda writer: append_blocks(log, writer, 10))

            for reads in (each.result(PATIENCE) for each in following):
                assert [event for read in reads for event in read] == list(log.read_all())
                assert all(len(read) % 5 == 0 for read in reads)

    def test_a_thread_finds_at_once_in_its_streams_what_it_has_appended(self, log: Log) -> None:
        """In the whole log too, but there a commit may first have to let others end that were begun before it."""

        def append_and_look(writer: int) -> list[bool]:
            return [
                log.wait(commit.events[-1].position - 1, PATIENCE)
                and log.version("shared") >= commit.events[-1].version
                and list(log.read(f"own-{writer}"))[-3:] == list(commit.events[:3])
                for _ in range(10)
                for commit in append_blocks(log, writer, 1)
            ]

        assert in_threads(append_and_look) == [10 * [True]] * 8

    def test_a_commit_is_visible_whole_or_not_at_all(self, log: Log) -> None:
        def write_or_read(number: int) -> list[int]:
            if number % 2:
                return [len(append_blocks(log, 0, 1)[0].events) for _ in range(10)]
            return [len(list(log.read_all())) for _ in range(20)]

        assert all(length % 5 == 0 for lengths in in_threads(write_or_read) for length in lengths)
