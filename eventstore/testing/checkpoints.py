"""Checkpoints: how far a consumer has come, stored in the commit that holds the effects of getting there."""

from __future__ import annotations

import contextlib

import pytest

from eventstore.errors import CheckpointConflict, DuplicateEventId, WrongExpectedVersion
from eventstore.log import Append, Checkpoint, Log
from eventstore.testing.opening import Opening, event, events, in_threads, unchanged, write


def moved(log: Log, previous: int | None, position: int) -> bool:
    """Move the checkpoint `views` on from where it is believed to be, and say whether it was there."""
    try:
        log.append([], checkpoint=Checkpoint("views", position, previous))
    except CheckpointConflict:
        return False
    return True


class Checkpoints(Opening):
    """A checkpoint is a position under a name; who moves it may say where it must be before."""

    def test_an_unknown_checkpoint_is_none(self, log: Log) -> None:
        log.append([], checkpoint=Checkpoint("views", 1))
        assert log.checkpoint("Views") is None

    def test_a_checkpoint_without_events_is_stored(self, log: Log) -> None:
        write(log, "a")
        with unchanged(log):
            appended = log.append([], checkpoint=Checkpoint("views", 1))
        assert (appended.events, appended.repeated, log.checkpoint("views")) == ((), False, 1)

    def test_a_checkpoint_is_stored_with_the_events_of_its_commit(self, log: Log) -> None:
        log.append([Append("a", events(2))], checkpoint=Checkpoint("views", 7))
        assert (log.checkpoint("views"), log.version("a")) == (7, 2)

    def test_a_checkpoint_at_position_zero_is_not_none(self, log: Log) -> None:
        log.append([], checkpoint=Checkpoint("views", 0, None))
        assert log.checkpoint("views") == 0
        with pytest.raises(CheckpointConflict):
            log.append([], checkpoint=Checkpoint("views", 1, None))
        assert moved(log, 0, 1)

    def test_the_first_checkpoint_can_expect_that_there_is_none(self, log: Log) -> None:
        assert moved(log, None, 3)
        assert not moved(log, None, 4)
        assert log.checkpoint("views") == 3

    def test_a_checkpoint_moves_on_from_where_it_is_expected(self, log: Log) -> None:
        assert not moved(log, 3, 5)
        assert moved(log, None, 3)
        assert moved(log, 3, 5)
        assert log.checkpoint("views") == 5

    @pytest.mark.parametrize("previous", [None, 0, 4, 6])
    def test_a_checkpoint_that_is_elsewhere_changes_nothing(self, log: Log, previous: int | None) -> None:
        log.append([], checkpoint=Checkpoint("views", 5))

        with unchanged(log), pytest.raises(CheckpointConflict) as caught:
            log.append([Append("a", events(1))], checkpoint=Checkpoint("views", 9, previous))

        assert (caught.value.name, caught.value.expected, caught.value.actual) == ("views", previous, 5)
        assert log.checkpoint("views") == 5

    def test_a_checkpoint_may_move_back_for_a_replay(self, log: Log) -> None:
        log.append([], checkpoint=Checkpoint("views", 5))
        assert moved(log, 5, 2)
        log.append([], checkpoint=Checkpoint("views", 0))
        assert log.checkpoint("views") == 0

    def test_checkpoints_of_different_names_are_independent(self, log: Log) -> None:
        names = ["views", "views/2", "VIEWS", "mail ✉", "v" * 300]
        for position, name in enumerate(names):
            log.append([], checkpoint=Checkpoint(name, position, None))
        assert [log.checkpoint(name) for name in names] == list(range(len(names)))

    def test_all_checkpoints_are_found_by_name(self, log: Log) -> None:
        assert log.checkpoints() == {}
        log.append([Append("a", events(2))], checkpoint=Checkpoint("views", 1))
        log.append([], checkpoint=Checkpoint("mail ✉", 0))
        log.append([], checkpoint=Checkpoint("views", 2))
        assert log.checkpoints() == {"views": 2, "mail ✉": 0}

    def test_a_refused_commit_leaves_its_checkpoint_where_it_was(self, log: Log) -> None:
        ours = event()
        log.append([Append("a", [ours])], checkpoint=Checkpoint("views", 1))
        with unchanged(log), pytest.raises(WrongExpectedVersion):
            log.append([Append("a", events(1), 5)], checkpoint=Checkpoint("views", 2))
        with unchanged(log), pytest.raises(DuplicateEventId):
            log.append([Append("a", [ours, event()])], checkpoint=Checkpoint("views", 2))
        assert log.checkpoint("views") == 1

    def test_of_eight_consumers_at_the_same_checkpoint_exactly_one_moves_it(self, log: Log) -> None:
        for position in (None, 1, 2):
            before, after = position, (position or 0) + 1
            assert self.moved_by_eight(log, before, after) == 1
            assert log.checkpoint("views") == after

    def moved_by_eight(self, log: Log, previous: int | None, position: int) -> int:
        """How many of eight threads could move the checkpoint."""
        return sum(in_threads(lambda _: moved(log, previous, position)))

    def test_effects_and_checkpoint_of_eight_consumers_are_there_exactly_once(self, log: Log) -> None:
        """Each consumer handles what it finds behind the checkpoint; two that handle the same event collide."""
        last = write(log, "work", 10).events[-1].position

        def consume(_: int) -> None:
            for _ in range(1_000):
                previous = log.checkpoint("views")
                if previous == last:
                    return
                (found,) = log.read_all(after=previous or 0, limit=1)
                effect = [Append("done", [event(found.data)])]
                with contextlib.suppress(CheckpointConflict):
                    log.append(effect, checkpoint=Checkpoint("views", found.position, previous))

        in_threads(consume)

        assert [e.data for e in log.read("done")] == [e.data for e in log.read("work")]
