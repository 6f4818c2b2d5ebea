"""How consumers stand, told to any process; and when their checkpoints move."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventstore.consumer import Consumer, wait_for
from eventstore.errors import TooLarge
from eventstore.log import ANY, Append, Checkpoint, Log, RecordedEvent
from eventstore.standing import MOST_NOTES, NOTES, standing
from eventstore.testing.consuming import Stumbling, echo, work
from eventstore.testing.holding import Handling, running
from eventstore.testing.opening import PATIENCE, Opening, datas, unchanged, write


def fail(consumer: Consumer) -> None:
    """Have it fail on what comes next."""
    with pytest.raises(ValueError, match="cannot take"):
        consumer.catch_up()


class Standings(Opening):
    """Anybody can ask why a consumer comes no further."""

    def test_a_name_that_nobody_has_used_has_handled_nothing(self, log: Log) -> None:
        write(log, "work", 2)
        with unchanged(log):
            found = standing(log, "nobody")
        assert (found.checkpoint, found.lag, found.holder, found.stuck_at) == (None, log.head(), None, None)

    def test_anybody_is_told_on_which_event_a_consumer_fails_since_when_and_how(self, log: Log) -> None:
        appended = write(log, "work", 3).events
        with Consumer(log, "echo", Stumbling(b"2"), streams=["work"]) as consumer:
            fail(consumer)
        found = standing(log, "echo")
        assert (found.checkpoint, found.stuck_at) == (appended[0].position, appended[1].position)
        assert (found.event_id, found.stream) == (appended[1].id, "work")
        assert (found.error, found.errors) == ("ValueError: cannot take 2", 1)
        (note,) = log.read(f"{NOTES}echo")
        assert found.since == note.time
        assert f":{os.getpid()}".encode() in note.data

    @pytest.mark.parametrize("streams", [None, ["work"]])
    def test_the_same_failure_is_noted_once_however_often_it_is_tried(
        self, log: Log, streams: list[str] | None
    ) -> None:
        write(log, "work", 1)
        for _ in range(3):
            with Consumer(log, "echo", Stumbling(b"1"), streams=streams) as consumer:
                for _ in range(2):
                    fail(consumer)
        assert log.version(f"{NOTES}echo") == 1

    def test_other_failures_on_the_same_event_are_counted_up_to_a_limit(self, log: Log) -> None:
        tried: list[int] = []

        def fail_differently(given: Sequence[RecordedEvent]) -> None:
            tried.append(len(tried))
            raise ValueError(f"cannot take it, {len(tried)}")

        write(log, "work", 1)
        with Consumer(log, "echo", fail_differently) as consumer:
            for _ in range(MOST_NOTES + 3):
                fail(consumer)
            assert consumer.standing().errors == MOST_NOTES
            assert consumer.standing().error == f"ValueError: cannot take it, {MOST_NOTES}"
        assert log.version(f"{NOTES}echo") == MOST_NOTES

    def test_a_consumer_that_fails_on_its_first_event_has_a_checkpoint_where_it_began(self, log: Log) -> None:
        write(log, "work", 2)
        began = log.head()
        write(log, "work", 2)
        with Consumer(log, "echo", Stumbling(b"1"), begin=began) as consumer:
            fail(consumer)
        assert log.checkpoints() == {"echo": began}
        with Consumer(log, "echo", lambda given: None, begin=log.head()) as consumer:
            assert consumer.catch_up() == 2

    def test_a_consumer_that_has_got_past_the_event_is_stuck_no_more(self, log: Log) -> None:
        write(log, "work", 3)
        handler = Stumbling(b"2")
        with Consumer(log, "echo", handler, streams=["work"]) as consumer:
            fail(consumer)
            handler.data = b"none"
            consumer.catch_up()
        assert standing(log, "echo").stuck_at is None
        log.append([], checkpoint=Checkpoint("echo", 0, ANY))  # a replay
        assert standing(log, "echo").stuck_at is None

    def test_a_consumer_whose_checkpoint_was_moved_past_the_event_goes_on_there(self, log: Log) -> None:
        write(log, "work", 3)
        with Consumer(log, "echo", Stumbling(b"2"), streams=["work"], batch=1) as consumer:
            fail(consumer)
        found = standing(log, "echo")
        assert found.stuck_at is not None
        log.append([], checkpoint=Checkpoint("echo", found.stuck_at, found.checkpoint))
        with work(log) as consumer:
            assert consumer.catch_up() == 1
        assert datas(log.read("done")) == [b"1", b"3"]

    def test_consumers_that_follow_everything_are_given_nobodys_notes(self, log: Log) -> None:
        given: list[str] = []
        write(log, "work", 1)
        with Consumer(log, "fails", Stumbling(b"1")) as consumer:
            fail(consumer)
        with Consumer(log, "all", lambda events: given.extend(each.stream for each in events)) as consumer:
            assert consumer.catch_up() == 1
            assert consumer.catch_up() == 0
            assert consumer.standing().lag == 0
        assert given == ["work"]
        with Consumer(log, "notes", lambda events: None, streams=[f"{NOTES}fails"]) as consumer:
            assert consumer.catch_up() == 1

    def test_who_runs_a_consumer_is_told(self, log: Log) -> None:
        handling = Handling()
        write(log, "work", 1)
        with running(Consumer(log, "echo", handling)):
            assert handling.reached.wait(PATIENCE)
            assert standing(log, "echo").holder == log.holder("echo")
            handling.go_on.set()

    def test_a_name_too_long_to_note_anything_under_is_refused(self, log: Log) -> None:
        with pytest.raises(TooLarge):
            Consumer(log, "n" * 1024, echo)
        assert standing(log, "n" * 1024).checkpoint is None

    @pytest.mark.parametrize("batch", [1, 3])
    def test_no_more_is_given_than_a_batch_and_what_comes_meanwhile_comes_after(self, log: Log, batch: int) -> None:
        given: list[int] = []
        checkpoints: list[int | None] = []

        def take(events: Sequence[RecordedEvent]) -> None:
            given.append(len(events))
            checkpoints.append(log.checkpoint("take"))
            if len(given) == 1:
                write(log, "work", 3)

        appended = write(log, "work", 6).events
        with Consumer(log, "take", take, streams=["work"], batch=batch) as consumer:
            assert consumer.catch_up() == 9
        assert given == [batch] * (9 // batch)
        assert checkpoints[:3] == [None, appended[batch - 1].position, appended[2 * batch - 1].position]

    def test_a_consumer_that_is_idle_notes_how_far_it_has_looked(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("eventstore.consumer._IDLE_SECONDS", 0.01)
        with running(work(log)):
            last = write(log, "else", 3).events[-1].position
            assert wait_for(log, "echo", last, PATIENCE)

    def test_a_consumer_that_is_closed_stores_what_it_is_at(self, log: Log) -> None:
        handling = Handling()
        appended = write(log, "work", 4).events
        with ThreadPoolExecutor(1) as pool, Consumer(log, "echo", handling, batch=2) as consumer:
            future = pool.submit(consumer.run)
            assert handling.reached.wait(PATIENCE)
            consumer.close()
            handling.go_on.set()
            future.result(PATIENCE)
        assert log.checkpoint("echo") == appended[1].position
        assert datas(log.read("done")) == [b"1", b"2"]

    def test_a_new_version_is_built_beside_the_old_one_and_goes_on_where_it_was_cut_off(self, log: Log) -> None:
        def second(given: Sequence[RecordedEvent]) -> list[Append]:
            if len(built) == 2:
                raise KeyboardInterrupt
            built.append(len(given))
            return [Append("done-2", each.events) for each in echo(given)]

        built: list[int] = []
        write(log, "work", 6)
        with work(log, "v1") as old, Consumer(log, "v2", second, streams=["work"], batch=1) as new:
            assert old.catch_up() == 6
            with pytest.raises(KeyboardInterrupt):
                new.catch_up()
        built.append(0)
        with Consumer(log, "v2", second, streams=["work"], batch=1) as new:
            assert new.catch_up() == 4
        assert datas(log.read("done-2")) == datas(log.read("done"))

    def test_checkpoints_and_followers_take_positions_beyond_32_bits(self, log: Log) -> None:
        write(log, "work", 2)
        for position in (2**31, 2**32 + 1, 2**63 - 1):
            log.append([], checkpoint=Checkpoint("far", position))
            assert log.checkpoint("far") == position
            with Consumer(log, "far", echo) as consumer:
                assert consumer.catch_up() == 0
                assert consumer.standing().lag == 0
