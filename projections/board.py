"""The task board: units of work for people and agents, what they need of each other, and who has them.

A board task is `ready`, `working`, in `review`, `done`, or `blocked` until what it needs is done, or until a block by
hand is lifted. Each is a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial

from eventstore.board_events import BOARD_STREAM, Names, TaskCreated
from eventstore.codec import Codec
from eventstore.errors import InvalidInput, NotFound, WrongExpectedVersion
from eventstore.log import Log, Purged, new_id
from eventstore.payload import Values
from eventstore.validate import check_name
from projections import decide_board
from projections.board_queries import BoardQueries
from projections.commands import Actor
from projections.decide_board import Changes, Scene
from projections.fold import Fold
from projections.queries import Queries
from projections.rows import BoardTask
from projections.run_filter import chosen_statuses
from projections.transitions import BOARD_STEPS
from projections.views import Views

Decide = Callable[[Scene], Changes]


class Board(BoardQueries, Actor):
    """What can be done with the tasks of a board, each time in one commit. `NotFound` if a task is unknown or deleted,
    `InvalidTransition` if its status forbids the step. What is refused leaves everything as it was.

    Commands return the task as they left it. Who gives an `agent` or a `claim` that is no longer the task's is refused
    with a `Conflict`, as somebody who was given up for dead and comes back.
    """

    def __init__(
        self, views: Views, log: Log, codec: Codec, values: Values, queries: Queries, now: Callable[[], datetime]
    ) -> None:
        BoardQueries.__init__(self, views, now)
        Actor.__init__(self, log, codec, values, queries, now)

    def create(
        self,
        title: str,
        *,
        task_id: str | None = None,
        description: str = "",
        acceptance_criteria: str = "",
        depends_on: Collection[str] = (),
        tags: Collection[str] = (),
        priority: int = 0,
    ) -> BoardTask:
        """Put a task on the board: ready, or blocked if something it needs is not done.

        The same id with the same content again returns the task there is; with other content it is a `Conflict`.
        `NotFound` if it is to need a task that is unknown or was deleted.
        """
        task_id = str(new_id()) if task_id is None else task_id
        check_name(task_id, "task id")
        wanted = TaskCreated(
            task_id,
            _title(title),
            description=description,
            acceptance_criteria=acceptance_criteria,
            depends_on=_needs(depends_on),
            tags=_names(tags, "tag"),
            priority=priority,
        )
        look = partial(self._near, task_id, *wanted.depends_on)
        return self._decided(task_id, look, lambda scene: decide_board.create(scene, wanted))

    def update(
        self,
        task_id: str,
        *,
        title: str | None = None,
        description: str | None = None,
        acceptance_criteria: str | None = None,
        tags: Collection[str] | None = None,
        priority: int | None = None,
        depends_on: Collection[str] | None = None,
    ) -> BoardTask:
        """Change the details that are given; if they are so already, nothing is appended. Never the status as such.

        What a task needs can change while it is ready or blocked, and may make it the other one of these.
        `CycleError` if it would come to need itself.
        """
        details = {
            "title": None if title is None else _title(title),
            "description": description,
            "acceptance_criteria": acceptance_criteria,
            "depends_on": None if depends_on is None else _needs(depends_on),
            "tags": None if tags is None else _names(tags, "tag"),
            "priority": priority,
        }
        given = {name: value for name, value in details.items() if value is not None}
        look = partial(self._near if depends_on is None else self._below, task_id, *(depends_on or ()))
        return self._decided(task_id, look, lambda scene: decide_board.update(scene, given))

    def delete(self, task_id: str, reason: str = "", *, cascade: str | None = None) -> BoardTask:
        """Take a ready or blocked task off the board; its events stay. Again: nothing happens.

        `HasDependents` while others need it, unless `cascade` is `"detach"`: then they need it no more, and those that
        need nothing else are unblocked. `TaskActive` while somebody works on it or it is in review.
        """
        if cascade not in (None, "detach"):
            raise InvalidInput(f"unknown cascade {cascade!r}", "Use 'detach', or none.")
        detach = cascade == "detach"
        look = partial(self._around, task_id)
        return self._decided(task_id, look, lambda scene: decide_board.delete(scene, reason, detach=detach))

    def purge(self, task_id: str) -> Purged:
        """Physically remove a task that is done or deleted. `HasDependents` while one that is not done needs it."""
        before = None
        while True:
            version = decide_board.purge(self._around(task_id))
            try:
                return self._log.purge(BOARD_STREAM + task_id, expected=version, meta=self._meta)
            except WrongExpectedVersion:
                if version == before:
                    raise  # the stream holds what is no event of the board
                before = version

    def assign(self, task_id: str, agent: str, *, lease: float | None = None) -> BoardTask:
        """Give a ready task to somebody. Its `claim` is theirs: give it with every further step.

        `lease` is in seconds; a task whose lease has run out is among `stale_claims`. Without one it never is.
        """
        check_name(agent, "agent")
        return self._stepped(task_id, lambda scene: decide_board.assign(scene, agent, self._lease_until(lease)))

    def claim_next(
        self, agent: str, *, lease: float | None = None, tags: Collection[str] | None = None, by_priority: bool = False
    ) -> BoardTask | None:
        """Give the task that `next_ready` would show to somebody, and return it; None if there is none.

        However many ask at once, no two are given the same task.
        """
        check_name(agent, "agent")

        def look() -> Scene | None:
            task = self.next_ready(tags=tags, by_priority=by_priority)
            return None if task is None else Scene(task.id, {task.id: task}, {})

        return self._carry_out("", look, lambda scene: decide_board.assign(scene, agent, self._lease_until(lease)))

    def submit(self, task_id: str, *, agent: str | None = None, claim: int | None = None) -> BoardTask:
        """Hand in the work on a task for review."""
        return self._stepped(task_id, lambda scene: decide_board.submit(scene, agent, claim))

    def release(
        self, task_id: str, reason: str = "", *, agent: str | None = None, claim: int | None = None
    ) -> BoardTask:
        """Give a task back, unfinished: it is ready for anybody."""
        return self._stepped(task_id, lambda scene: decide_board.release(scene, reason, agent, claim))

    def approve(self, task_id: str) -> BoardTask:
        """Call a task in review done. In the same commit, those that needed nothing else are unblocked."""
        return self._decided(task_id, partial(self._around, task_id), decide_board.approve)

    def request_changes(self, task_id: str, reason: str, *, lease: float | None = None) -> BoardTask:
        """Give a task in review back to whoever worked on it, with a new claim."""
        return self._stepped(
            task_id, lambda scene: decide_board.request_changes(scene, reason, self._lease_until(lease))
        )

    def revert(self, task_id: str, reason: str) -> BoardTask:
        """Throw away the work on a task in review: it is ready for anybody."""
        return self._stepped(task_id, lambda scene: decide_board.revert(scene, reason))

    def block(self, task_id: str, reason: str) -> BoardTask:
        """Block a ready task by hand. Only `unblock` lifts that."""
        return self._stepped(task_id, lambda scene: decide_board.block(scene, reason))

    def unblock(self, task_id: str) -> BoardTask:
        """Lift a block by hand. `Conflict` while something the task needs is not done."""
        return self._stepped(task_id, decide_board.unblock)

    def move(
        self,
        task_id: str,
        status: str,
        *,
        agent: str | None = None,
        reason: str = "",
        lease: float | None = None,
        claim: int | None = None,
    ) -> BoardTask:
        """Bring a task to a status, by whichever of the commands above leads there from where it is.

        To be there already is no way to get there: `InvalidTransition`.
        """
        chosen_statuses(status, BOARD_STEPS)
        if agent is not None:
            check_name(agent, "agent")

        def decision(scene: Scene) -> Changes:
            until = self._lease_until(lease)
            return decide_board.move(scene, status, agent=agent, reason=reason, claim=claim, lease_until=until)

        look = partial(self._around if status == "done" else self._near, task_id)
        return self._decided(task_id, look, decision)

    def _stepped(self, task_id: str, decide: Decide) -> BoardTask:
        return self._decided(task_id, partial(self._near, task_id), decide)

    def _decided(self, task_id: str, look: Callable[[], Scene], decide: Decide) -> BoardTask:
        task = self._carry_out(task_id, look, decide)
        if task is None:
            raise NotFound("board task", task_id)
        return task

    def _carry_out(self, turn: str, look: Callable[[], Scene | None], decide: Decide) -> BoardTask | None:
        """Look, and append what the decision comes to; again whenever something it was made on has changed meanwhile.
        Returns the task as it is then; None if there is nothing to decide on.
        """
        before = None
        with self._turn(turn):
            while (scene := look()) is not None:
                changes = decide(scene)
                try:
                    self._commit([self._part(BOARD_STREAM + c.task_id, c.events, c.version) for c in changes])
                except WrongExpectedVersion:
                    if scene == before:
                        raise  # a stream holds what is no event of the board
                    before = scene
                    continue
                version = changes[0].version + len(changes[0].events) if changes else None
                return self._left_at(scene.task_id, version)
        return None

    def _left_at(self, task_id: str, version: int | None) -> BoardTask | None:
        """The task as this version of its stream left it, though others may have been quick to go on with it."""
        task = self.get(task_id, include_deleted=True)
        if version is None or (task is not None and task.version == version):
            return task
        events = self._log.read(BOARD_STREAM + task_id, until=version)
        return Fold.of(events, self._codec).row(BoardTask, task_id)


def _title(title: str) -> str:
    if not isinstance(title, str) or not title.strip():
        raise InvalidInput("the title of a board task is blank", "Say in a few words what is to be done.")
    return title


def _needs(task_ids: Collection[str]) -> Names:
    """As a set that always looks the same."""
    return tuple(sorted(_names(task_ids, "task id")))


def _names(names: Collection[str], what: str) -> Names:
    """Each of them once."""
    if isinstance(names, str) or not isinstance(names, Collection):
        raise InvalidInput(f"{names!r} is no list of names", f"Give a list, even of one {what}.")
    for name in names:
        check_name(name, what)
    return tuple(dict.fromkeys(names))
