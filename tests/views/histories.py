"""Random histories: of commands, as programs give them, and of raw events, as no program should append them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from eventstore.board_events import (
    BOARD_STREAM,
    TaskChanges,
    TaskCreated,
    TaskDeleted,
    TaskDependedOn,
    TaskMoved,
    TaskUnblocked,
    TaskUpdated,
)
from eventstore.codec import UnknownEvent
from eventstore.errors import Conflict, InvalidInput, NotFound
from eventstore.events import (
    WORKFLOW_STREAM,
    ChildRunCreated,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunDeleted,
    RunFailed,
    RunForkCreated,
    RunForked,
    RunLeaseRenewed,
    RunResumed,
    RunStarted,
    RunUpdated,
    RunWaiting,
    TaskRunApproved,
    TaskRunCancelled,
    TaskRunCompleted,
    TaskRunFailed,
    TaskRunInterrupted,
    TaskRunInvalidated,
    TaskRunRejected,
    TaskRunRetryScheduled,
    TaskRunReused,
    TaskRunScheduled,
    TaskRunSkipped,
    TaskRunStarted,
    TaskRunUpdated,
    TaskRunWaiting,
    WorkflowDeleted,
    WorkflowSaved,
)
from eventstore.failure import Cause, Failure
from eventstore.log import Append, NewEvent
from eventstore.payload import Value, preview
from projections import Store, Task
from tests.stores import NOON

RUN_IDS = ("run", "Run", "../run")
FORK_ID = "fork"
TASK_IDS = ("a", "b", "B/../b")
THRESHOLD = 100
"""Outputs of more bytes go to blobs in these histories."""


class Step(NamedTuple):
    """A command on a run or on one task of it. `choice` decides whatever else there is to decide."""

    command: Callable[[Store, str, str, int], object]
    run_id: str
    task_id: str
    choice: int

    def take(self, store: Store) -> None:
        """Give the command; that it may be refused is part of the history."""
        with contextlib.suppress(Conflict, NotFound, InvalidInput):
            self.command(store, self.run_id, self.task_id, self.choice)


def _output(choice: int) -> object:
    return (None, choice, "long " * 40, {"ch\u2028ice": choice})[choice % 4]


def _begin(store: Store, run_id: str, task_id: str, choice: int) -> object:
    store.create_run("flow", run_id=run_id, user_message="go", metadata={"n": 1})
    store.schedule_tasks(
        run_id, [Task("a", always_run=True), Task("b", depends_on=["a"]), Task(task_id, always_run=task_id == "a")]
    )
    return store.start_run(run_id, lease=60 if choice % 2 else None)


def _fail_task(store: Store, run_id: str, task_id: str, choice: int) -> object:
    return store.fail_task(run_id, task_id, ValueError("no" * 60 * (choice % 2)), usage={"tokens": choice})


RUN_COMMANDS: tuple[Callable[[Store, str, str, int], object], ...] = (
    _begin,
    lambda store, run, task, choice: store.wait_run(run, f"gate {choice}"),
    lambda store, run, task, choice: store.complete_run(run, _output(choice)),
    lambda store, run, task, choice: store.fail_run(run, "broken"),
    lambda store, run, task, choice: store.cancel_run(run, "enough"),
    lambda store, run, task, choice: store.resume(run, worker="rescuer", force=choice % 4 != 0),
    lambda store, run, task, choice: store.renew_lease(run, epoch=choice, lease=60),
    lambda store, run, task, choice: store.delete_run(run, force=choice % 2 == 0),
    lambda store, run, task, choice: store.purge_run(run, force=True),
    lambda store, run, task, choice: store.fork_run(run, version=choice * 3 + 1, fork_id=RUN_IDS[choice % 3]),
    lambda store, run, task, choice: store.fork_run(run, fork_id=FORK_ID),
)
TASK_COMMANDS: tuple[Callable[[Store, str, str, int], object], ...] = (
    lambda store, run, task, choice: store.start_task(run, task, worker=f"worker {choice}"),
    lambda store, run, task, choice: store.complete_task(run, task, _output(choice)),
    _fail_task,
    lambda store, run, task, choice: store.retry_task(run, task, delay=choice),
    lambda store, run, task, choice: store.schedule_task(run, task, fingerprint=str(choice), always_run=task == "a"),
    lambda store, run, task, choice: store.skip_task(run, task, "not needed"),
    lambda store, run, task, choice: store.cancel_task(run, task),
    lambda store, run, task, choice: store.invalidate_task(run, task, "again"),
    lambda store, run, task, choice: store.rerun_from(run, task, reason="again"),
    lambda store, run, task, choice: store.reuse_task(run, task),
    lambda store, run, task, choice: store.wait_task(run, task, "text", until=NOON if choice % 2 else None),
    lambda store, run, task, choice: store.acting(actor=f"{choice}").approve_task(run, task, _output(choice)),
    lambda store, run, task, choice: store.acting(actor=f"{choice}").reject_task(run, task, "no"),
)


def commands() -> SearchStrategy[list[Step]]:
    """Commands that begin runs and then do anything to them, mostly to their tasks."""
    start, complete, fail, retry = TASK_COMMANDS[:4]
    wait, approve, reject = TASK_COMMANDS[-3:]
    usual = [(start, complete), (start, fail, retry), (start,), (complete,), (wait, approve), (wait, reject), (wait,)]
    strange = [(command,) for command in (*TASK_COMMANDS, *RUN_COMMANDS)]
    scripts = st.sampled_from([*usual * 5, *strange])
    parts = st.tuples(
        scripts, st.sampled_from((*RUN_IDS, *RUN_IDS, FORK_ID)), st.sampled_from(TASK_IDS[:2]), st.integers(0, 3)
    )
    begin = [Step(_begin, run_id, TASK_IDS[2], 0) for run_id in RUN_IDS]
    return st.lists(parts, min_size=15, max_size=40).map(
        lambda parts: [*begin, *(Step(command, *rest) for script, *rest in parts for command in script)]
    )


class RawAppend(NamedTuple):
    """Events that a program has made itself, for any stream."""

    stream: str
    events: tuple[msgspec.Struct | NewEvent, ...]

    def take(self, store: Store) -> None:
        """Append them, whatever the stream is."""
        new = [e if isinstance(e, NewEvent) else store.codec.encode(e, time=NOON) for e in self.events]
        store.log.append([Append(self.stream, new)])


class RawPurge(NamedTuple):
    """A stream that is physically removed."""

    stream: str

    def take(self, store: Store) -> None:
        """Purge it, whether there is one or not."""
        store.log.purge(self.stream)


def _value(choice: int) -> Value:
    data = msgspec.json.encode(_output(choice))
    if choice % 2:
        return Value(f"digest {choice}", len(data), json=msgspec.Raw(data))
    return Value(("0" * 63 + str(choice % 10), f"digest {choice}")[choice % 3 == 0], len(data), preview=preview(data))


def events() -> SearchStrategy[msgspec.Struct | NewEvent]:
    """Any event there can be, those of the views' concern and others."""
    text, maybe_text = st.sampled_from(("", "text", "ü\0\u2028")), st.sampled_from((None, "text"))
    task, number, small = st.sampled_from(TASK_IDS), st.integers(1, 3), st.integers(0, 4)
    time, value = st.sampled_from((None, NOON)), st.integers(0, 5).map(_value)
    maybe_value = st.none() | value
    card = st.sampled_from(("t", "a"))
    names = st.sampled_from((None, ((), ("x", "y")), (("x", "y"), ("x",))))
    digests = st.dictionaries(task, st.sampled_from(("", "digest 1")), max_size=2)
    usage = st.dictionaries(st.just("tokens"), st.integers(0, 9) | st.floats(0, 9), max_size=1)
    metadata = st.sampled_from((msgspec.UNSET, msgspec.Raw(b'{"k":[1,null]}'), msgspec.Raw(b"{}")))
    failure = st.builds(
        Failure,
        type=text,
        message=text,
        traceback=maybe_text,
        causes=st.sampled_from(((), (Cause("T", "m"),))),
        full=maybe_value,
    )
    known: tuple[SearchStrategy[Any], ...] = (
        st.builds(RunCreated, text, text, maybe_value, metadata, maybe_text, st.none() | small, maybe_text, maybe_text),
        st.builds(RunStarted, text, small, time),
        st.builds(RunWaiting, text, time),
        st.builds(RunResumed, text, small, time, text),
        st.builds(RunLeaseRenewed, small, st.just(NOON)),
        st.builds(RunCompleted, maybe_value),
        st.builds(RunFailed, failure),
        st.builds(RunCancelled, text),
        st.builds(RunDeleted, text),
        st.builds(
            TaskRunScheduled, task, text, st.lists(task, max_size=2).map(tuple), maybe_value, metadata, st.booleans()
        ),
        st.builds(TaskRunUpdated, task, st.sampled_from((msgspec.Raw(b'{"fingerprint":"2"}'), msgspec.Raw(b"{}")))),
        st.builds(TaskRunStarted, task, number, text, digests, small),
        st.builds(TaskRunCompleted, task, number, value, digests, usage),
        st.builds(TaskRunFailed, task, number, failure, usage),
        st.builds(TaskRunRetryScheduled, task, text, time),
        st.builds(TaskRunSkipped, task, text),
        st.builds(TaskRunCancelled, task, st.integers(0, 3), text),
        st.builds(TaskRunInterrupted, task, number, text),
        st.builds(TaskRunReused, task, small),
        st.builds(TaskRunInvalidated, task, text),
        st.builds(TaskRunWaiting, task, number, text, time),
        st.builds(TaskRunApproved, task, number, text),
        st.builds(TaskRunRejected, task, number, text),
        st.builds(WorkflowSaved, st.sampled_from(("w", "v")), text, small, text, value, metadata),
        st.builds(WorkflowDeleted, st.sampled_from(("w", "v")), text),
        st.builds(RunUpdated, st.sampled_from((msgspec.Raw(b'{"k":2,"l":{"b":1,"a":1e40}}'), msgspec.Raw(b"{}")))),
        st.builds(ChildRunCreated, task),
        st.builds(RunForked, st.sampled_from((*RUN_IDS, "ü\0")), small, st.sampled_from(("", "0" * 64)), text),
        st.builds(RunForkCreated, task, small),
        st.builds(TaskCreated, card, text, depends_on=st.lists(task, max_size=2).map(tuple)),
        st.builds(TaskUpdated, card, st.builds(TaskChanges, tags=names, depends_on=names, title=st.none())),
        st.builds(TaskMoved, card, st.just("ready"), st.just("blocked"), maybe_text, text, small, time),
        st.builds(TaskUnblocked, card, maybe_text),
        st.builds(TaskDependedOn, card, text),
        st.builds(TaskDeleted, card, text),
        st.builds(
            UnknownEvent, st.sampled_from(("billing.charged", "taskRunTeleported")), number, st.binary(max_size=9)
        ),
        st.builds(NewEvent, type=st.just("runCreated"), data=st.binary(), content_type=st.just("application/x")),
    )
    return st.one_of(known)


def raw_history() -> SearchStrategy[list[RawAppend | RawPurge]]:
    """Events in any order on several streams, and purges of some of them."""
    stream = st.sampled_from((*RUN_IDS, f"{WORKFLOW_STREAM}w", f"{BOARD_STREAM}t"))
    append = st.builds(RawAppend, stream, st.lists(events(), min_size=1, max_size=4).map(tuple))
    return st.lists(st.one_of(append, append, append, st.builds(RawPurge, stream)), min_size=5, max_size=15)
