"""Commands on runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from eventstore.errors import InvalidInput, NotFound, WrongExpectedVersion
from eventstore.events import RunCreated, RunUpdated
from eventstore.failure import Failure
from eventstore.log import Append, new_id
from eventstore.values import decode_value, encode_mapping
from projections import decide_run, decide_update
from projections.commands import Resumption
from projections.decide import Events, check_may_change, check_run_id
from projections.decide_update import Metadata, Move
from projections.inheritance import with_inherited
from projections.rows import Run, TaskRun
from projections.run_family import Families, Member
from projections.transitions import UNDER_WAY, UNFINISHED


class RunCommands(Families):
    """What can be done with a run. `NotFound` if there is none; `InvalidTransition` if its state forbids it."""

    def create_run(
        self,
        workflow_name: str,
        *,
        run_id: str | None = None,
        user_message: str = "",
        input: object = None,
        metadata: Mapping[str, Any] | None = None,
        workflow_id: str | None = None,
        workflow_version: int | None = None,
        workflow_hash: str | None = None,
        parent_run_id: str | None = None,
        require_workflow: bool = False,
    ) -> Run:
        """Create a run, pending, and return it as it is kept.

        The same id with the same content again returns the run there is; with other content it is a `Conflict`.

        If a definition is stored under `workflow_id`, the run is pinned to its newest version, or to the version or
        hash that is given. What is given must be there, or it is `NotFound`. If none is stored, or it was deleted, the
        run takes what is given as it is, unless `require_workflow` says that this is `NotFound`, too.

        A child is noted in its parent's stream, in the same commit. `NotFound` if there is no parent, `Conflict` if it
        was cancelled.
        """
        run_id = str(new_id()) if run_id is None else run_id
        check_run_id(run_id)
        wanted = RunCreated(
            workflow_name,
            user_message,
            None if input is None else self._values.keep(input),
            self._raw(metadata),
            workflow_id,
            workflow_version,
            workflow_hash,
            parent_run_id,
        )
        if require_workflow and workflow_id is None:
            raise InvalidInput("a workflow is required, and none is named", "Give its workflow_id.")
        with self._turn(run_id if parent_run_id is None else parent_run_id):
            while True:
                try:
                    self._commit(self._creation(run_id, wanted, require_workflow=require_workflow))
                except WrongExpectedVersion:
                    if self._log.version(run_id) and self._queries.get_run(run_id, include_deleted=True) is None:
                        raise  # a stream of something that is not a run
                    continue
                return self._existing(run_id)

    def _creation(self, run_id: str, wanted: RunCreated, *, require_workflow: bool) -> list[Append]:
        """The commit that creates a run; nothing if it is there already."""
        parent_id = wanted.parent_run_id
        parent_version = 0 if parent_id is None else self._log.version(parent_id)
        known = self._queries.get_run(run_id, include_deleted=True)
        if known is not None:
            decide_run.check_same(known, self._created(run_id), wanted)
            return []
        created = [self._part(run_id, [self._pinned(wanted, required=require_workflow)], 0)]
        if parent_id is None:
            return created
        parent = check_may_change(self._queries.get_run(parent_id, include_deleted=True), parent_id, None)
        return [*created, self._part(parent_id, decide_run.adopt(parent, run_id), parent_version)]

    def _created(self, run_id: str) -> RunCreated | None:
        """What a run was created as: its metadata may be others by now. None if its stream does not say."""
        events = map(self._codec.decode, self._log.read(run_id))
        return next((event for event in events if isinstance(event, RunCreated)), None)

    def _pinned(self, wanted: RunCreated, *, required: bool) -> RunCreated:
        workflow_id, version = wanted.workflow_id, wanted.workflow_version
        if workflow_id is None:
            return wanted
        self._codec.encode(wanted)  # what no event can hold is refused before it is looked up
        hash = wanted.workflow_hash if version is None else None
        return decide_run.pin(
            wanted,
            self._queries.get_workflow(workflow_id, include_deleted=True),
            self._queries.get_workflow_version(workflow_id, version=version, hash=hash),
            required=required,
        )

    def start_run(self, run_id: str, *, worker: str = "", lease: float | None = None) -> Run:
        """Begin a run. Its `epoch` is the claim: give it with every further command, so that this worker is refused
        once another has resumed the run. `lease` is in seconds; until it has run out nobody else can resume the run
        without force. Without one, anybody can at any time.
        """

        def decision(run: Run) -> Events:
            tasks = self._queries.tasks_to_resume(run_id) if run.forked_from else ()
            return decide_run.start(run, tasks, worker, self._lease_until(lease))

        return self._change_run(run_id, decision)

    def wait_run(self, run_id: str, reason: str, *, until: datetime | None = None, epoch: int | None = None) -> Run:
        """Note that the run waits for something outside: an approval, a time, a signal."""
        return self._change_run(run_id, lambda run: decide_run.wait(run, reason, until), epoch)

    def complete_run(self, run_id: str, output: object = None, *, epoch: int | None = None) -> Run:
        """End a run well. Refused while a task of it is running, or a gate or timer open. Tasks that are pending stay
        so: what a run does not need any more, or what somebody has just invalidated. `resume_plan` tells before.
        """
        value = None if output is None else self._values.keep(output)
        return self._change_run(
            run_id, lambda run: decide_run.complete(run, self._tasks(run_id, *UNDER_WAY), value), epoch
        )

    def fail_run(self, run_id: str, error: BaseException | Failure | str, *, epoch: int | None = None) -> Run:
        """End a run badly; its running attempts are closed as interrupted. It can still be resumed, and its gates be
        decided.
        """
        failure = self._failure(error, None)
        return self._change_run(
            run_id, lambda run: decide_run.fail(run, self._tasks(run_id, "running"), failure), epoch
        )

    def update_run(
        self,
        run_id: str,
        *,
        status: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        write_once: Mapping[str, Any] | None = None,
        output: object = None,
        error: BaseException | Failure | str | None = None,
        reason: str = "",
        worker: str = "",
        lease: float | None = None,
        epoch: int | None = None,
    ) -> Run:
        """Bring a run to a status and set its metadata, in one commit, and return it. Nothing new: no event.

        `status` does what the command for it does: `running` starts the run, or resumes it after a wait or a failure,
        with `worker` and `lease`; `waiting` takes a `reason`; `completed` an `output`; `failed` needs an `error`;
        `cancelled` ends the runs below it, too. The status that the run has already is no event, unless something is
        said that contradicts what is there, which is refused. A worker that gives its valid `epoch` resumes in spite of
        its own lease; the run that is returned has the new one. Resume with `resume` if there are other rescuers.

        `metadata` replaces values key by key, at the top level only: what it does not name stays, and None is a value.
        `write_once` sets keys for good: the same value again is no change, another one, given either way, a `Conflict`.
        Both can be set when the run has ended.
        """
        told = {"output": output, "error": error, "reason": reason, "worker": worker, "lease": lease}
        decide_update.check_arguments(status, told)
        new, fixed = _plain(metadata), _plain(write_once)
        to = Move(
            status=status,
            output=None if output is None else self._values.keep(output),
            failure=None if error is None else self._failure(error, None),
            reason=reason,
            worker=worker,
            lease_until=self._lease_until(lease),
            holding=epoch is not None,
        )

        def noted(run: Run) -> Events:
            return decide_update.note(run_id, self._metadata(run), new, fixed) if new or fixed else []

        def decision(run: Run) -> Events:
            tasks = self._concerned(run_id, status) if status else []
            return [*noted(run), *decide_update.move(run, tasks, to, self._now())]

        def decision_on_member(member: Member) -> Events:
            cancelled = _cancelled(member, run_id, reason)
            return [*noted(member.run), *cancelled] if member.run.id == run_id else cancelled

        if status != "cancelled":
            return self._change_run(run_id, decision, epoch)
        self._change_family(run_id, decision_on_member, epoch, rest=decision_on_member)
        return self._existing(run_id)

    def cancel_run(self, run_id: str, reason: str = "", *, cascade: bool = True) -> Run:
        """End a run and every task of it that has not ended. Whoever holds the run is refused from now on.

        Its children, their children and so on end with it, in the same commit, unless told not to. Those that have
        ended by themselves stay as they are. A family that other processes write to without a pause ends run by run,
        from the top: if this call is cut off then, repeat it.
        """
        if not cascade:
            return self._change_run(
                run_id, lambda run: decide_run.cancel(run, self._tasks(run_id, *UNFINISHED), reason)
            )
        decide = partial(_cancelled, run_id=run_id, reason=reason)
        self._change_family(run_id, decide, rest=decide)
        return self._existing(run_id)

    def delete_run(self, run_id: str, reason: str = "", *, force: bool = False, cascade: bool = False) -> Run:
        """Hide a run and all that belongs to it; its events stay. One that has not ended needs force, which cancels it
        first.

        With `cascade`, its children, their children and so on are hidden in the same commit, and need force as it does.
        Without, they stay; their parent can still be seen by whoever asks for deleted runs.
        """
        if not cascade:
            return self._change_run(
                run_id,
                lambda run: decide_run.delete(run, self._tasks(run_id, *UNFINISHED), reason, force=force),
                even_deleted=True,
            )
        self._change_family(
            run_id,
            lambda member: decide_run.delete(member.run, member.unfinished, reason, force=force),
            rest=partial(_ended_if_open, reason=reason) if force else None,
            even_deleted=True,
        )
        return self._existing(run_id)

    def resume(self, run_id: str, *, worker: str = "", lease: float | None = None, force: bool = False) -> Resumption:
        """Claim a run after a crash, a failure or a wait, and return what it can go on from.

        Attempts that never ended are closed as interrupted, and their tasks are in doubt in the plan; gates and timers
        stay open. Tasks that always run are invalidated: what was made from them is stale until they put out the same
        bytes. All this is in the commit of the claim.

        Of several rescuers one wins and the others get `ClaimHeld`, as long as the winner's lease lasts. The claim
        comes first and the plan is read after it, so the old worker can add nothing to what the plan has seen.
        """
        seen = self._queries.get_run(run_id)
        if seen is None:
            raise NotFound("run", run_id)
        self._queries.list_origins(run_id)  # before it is claimed: what a fork goes on from must be there
        claimed = self._change_run(
            run_id,
            lambda run: decide_run.resume(
                run,
                self._queries.tasks_to_resume(run_id),
                worker,
                self._lease_until(lease),
                first_seen_epoch=seen.epoch,
                now=self._now(),
                force=force,
            ),
        )
        return Resumption(claimed, seen.epoch + 1, self._queries.resume_plan(run_id))

    def _change_run(
        self, run_id: str, decide: Callable[[Run], Events], epoch: int | None = None, *, even_deleted: bool = False
    ) -> Run:
        self._change(run_id, decide, epoch, even_deleted=even_deleted)
        return self._existing(run_id)

    def _tasks(self, run_id: str, *status: str) -> list[TaskRun]:
        return self._queries.list_task_runs(run_id, status=status)

    def _concerned(self, run_id: str, status: str) -> list[TaskRun]:
        """The tasks of a run that come to something when the run comes to this status."""
        return self._queries.tasks_to_resume(run_id) if status == "running" else self._tasks(run_id, *UNFINISHED)

    def _metadata(self, run: Run) -> Metadata:
        """The run's metadata as they were written: the view shows a NUL character as U+FFFD."""
        known = Metadata(run.metadata or {}, run.write_once or ())
        if "\ufffd" not in msgspec.json.encode(known).decode():
            return known
        events = with_inherited(self._log.read(run.id, until=run.version), self._codec, self._log.read)
        for event in map(self._codec.decode, events):
            if isinstance(event, RunUpdated):
                known = Metadata(decode_value(bytes(event.metadata)), event.write_once)
            elif isinstance(event, RunCreated) and not isinstance(event.metadata, msgspec.UnsetType):
                known = Metadata(decode_value(bytes(event.metadata)))
        return known


def _cancelled(member: Member, run_id: str, reason: str) -> Events:
    cancel = decide_run.cancel if member.run.id == run_id else decide_run.cancel_descendant
    return cancel(member.run, member.unfinished, reason)


def _ended_if_open(member: Member, reason: str) -> Events:
    return decide_run.cancel_descendant(member.run, member.unfinished, reason)


def _plain(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """The metadata as they will be read back. Raises `InvalidValue` for what cannot be kept."""
    plain: dict[str, Any] = decode_value(encode_mapping(metadata or {}))
    return plain
