"""Restoring what another log has purged: a record of a purge does here what the purge did there."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from eventstore.errors import Conflict, DuplicateEventId, InvalidInput
from eventstore.log import PURGES, Append, Log
from eventstore.memory import MemoryLog
from eventstore.testing.living import Told
from eventstore.testing.opening import events, unchanged, write
from eventstore.testing.restoring import Commits, Restored, commits_of, told, with_events


class RestoredPurges(Restored):
    """A copy follows the purges of what it is a copy of."""

    def test_what_was_left_of_a_commit_by_a_purge_there_is_passed_over(self, log: Log, source: MemoryLog) -> None:
        """A copy that was cut off before it took note of its progress comes again, perhaps after a purge."""
        source.append([Append("a", events(1)), Append("gone", events(1))])
        log.restore(commits_of(source))
        source.purge("gone")

        assert log.restore(commits_of(source)) == 1

        assert [told(e) for e in log.read_all()] == [told(e) for e in source.read_all()]

    def test_a_restored_purge_removes_the_stream_here_too(self, log: Log, source: MemoryLog) -> None:
        source.append([Append("gone", events(2)), Append("a", events(1)), Append("gone", events(1))])
        write(source, "gone")
        write(log, "here")
        log.restore(commits_of(source))
        commit = next(log.read("a")).commit
        after = source.head()
        source.purge("gone")

        assert log.restore(commits_of(source, after=after)) == 1

        assert (log.version("gone"), list(log.read("gone"))) == (0, [])
        assert [e.stream for e in log.read_all()] == ["here", "a", PURGES]
        assert [told(e) for e in log.read(PURGES)] == [told(e) for e in source.read(PURGES)]
        assert next(log.read("a")).commit == commit

    @pytest.mark.parametrize("at_once", [True, False])
    def test_a_stream_made_anew_after_a_purge_is_made_anew_here(
        self, log: Log, source: MemoryLog, at_once: bool
    ) -> None:
        """At once, as by a copy that read on while the purges happened, and one after the source."""
        commits: Commits = []
        ours = events(2)
        for _ in range(3):
            after = source.head()
            source.append([Append("gone", ours), Append("kept", events(1))])
            write(source, "gone", 2)
            commits += commits_of(source, after=after)
            after = source.head()
            source.purge("gone")
            commits += commits_of(source, after=after)
        after = source.head()
        write(source, "gone", 3)
        commits += commits_of(source, after=after)

        for part in [commits] if at_once else [[commit] for commit in commits]:
            log.restore(part)

        assert [told(e) for e in log.read_all()] == [told(e) for e in source.read_all()]
        assert [told(e) for e in log.read("gone")] == [told(e) for e in source.read("gone")]
        assert (log.version("gone"), log.version(PURGES), log.version("kept")) == (3, 3, 3)
        assert write(log, "gone", expected=3).versions["gone"] == 4

    def test_the_ids_of_what_a_restored_purge_removed_are_free_again(self, log: Log, source: MemoryLog) -> None:
        ours = events(2)
        source.append([Append("gone", ours), Append("a", events(1))])
        log.restore(commits_of(source))
        after = source.head()
        source.purge("gone")
        source.append([Append("elsewhere", ours)])

        log.restore(commits_of(source, after=after))

        assert [told(e) for e in log.read_all()] == [told(e) for e in source.read_all()]
        with unchanged(log), pytest.raises(DuplicateEventId):
            log.append([Append("gone", ours)])

    def test_a_purge_of_what_never_was_here_leaves_its_record_only(self, log: Log, source: MemoryLog) -> None:
        write(source, "gone")
        source.purge("gone")
        write(source, "a")
        assert log.restore(commits_of(source)) == 2
        assert [e.stream for e in log.read_all()] == [PURGES, "a"]

    def test_purges_here_and_there_do_not_mix(self, log: Log, source: MemoryLog) -> None:
        for each in (log, source):
            write(each, "gone")
            each.purge("gone")
        self.refuses_to_restore(log, commits_of(source), Conflict)

    def test_purges_go_on_behind_restored_ones(self, log: Log, source: MemoryLog) -> None:
        write(with_events(source, "a", "b"), "gone")
        source.purge("gone")
        log.restore(commits_of(source))

        assert log.purge("a").events == 1

        assert [e.version for e in log.read(PURGES)] == [1, 2]
        assert [e.stream for e in log.read_all()] == ["b", PURGES, PURGES]

    def test_records_of_purges_stand_alone(self, log: Log, source: MemoryLog) -> None:
        write(source, "gone")
        source.purge("gone")
        (record,) = source.read(PURGES)
        (only,) = with_events(MemoryLog(clock=lambda: record.recorded_at), "a").read("a")
        self.refuses_to_restore(log, [[only, record]], InvalidInput)

    def test_the_hook_is_told_of_restored_purges_by_their_records(self, tmp_path: Path, source: MemoryLog) -> None:
        commits = commits_of(with_events(source, "gone", "a"))
        source.purge("gone")
        hook = Told()
        with contextlib.closing(self.open_log(tmp_path, hook=hook)) as log:
            log.restore([*commits, *commits_of(source, after=2)])
            told_of = [e.stream for commit in hook.commits for e in commit]
        assert told_of in (["gone", "a", PURGES], ["a", PURGES])
