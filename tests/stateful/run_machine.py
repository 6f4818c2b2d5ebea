"""A machine that does to runs whatever can be done, in whatever order, and to a store in memory the same.

Two stores have the same place open and are used in turn, as two processes would. A command may be the last of its
process, which dies just before it appends or just after. Whoever asks about the past leaves snapshots in the stores,
and none in the model.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from projections import Store, Task, item, open_store
from tests.engine.oracle import Judge
from tests.engine.simulation import Died, watched
from tests.stores import NOON, check_views, tables_of

from .outcomes import Call, Rows, outcome, send_mail, told, without_positions

RUNS = ("parent", "child")
FORKS = ("fork", "another fork")
PARTS = (item("t1", 0), item("t1", 1))
NEEDS = {"t0": (), PARTS[0]: ("t0",), PARTS[1]: ("t0",), "t2": PARTS, "t3": ("t2",)}
ALWAYS = PARTS[1]
VALUES = (None, 1, 2, "large" * 100, ["other", "large" * 100])
CHANGES = ("skip_task", "cancel_task", "reuse_task", "invalidate_task", "invalidate_task", "rerun_from")
ENDS = ("completed", "cancelled", "deleted", "purged")
THRESHOLD = 300
SNAPSHOT_EVERY = 3
LEASE = 5
"""Seconds; so many commands, too."""

places = st.integers(0, 1)
# Most often one that there is.
runs = st.runner().flatmap(lambda machine: st.sampled_from(machine.known_runs()))
tasks = st.sampled_from(list(NEEDS))
# None stands for one with which the command makes sense.
apt_tasks = st.none() | tasks
values = st.sampled_from(VALUES)
# How far the epoch or attempt that a worker gives is from the newest; None: it gives none.
beliefs = st.sampled_from((None, None, 0, 0, -1))
leases = st.sampled_from((None, LEASE))
reasons = st.sampled_from(("", "why"))
# How many events of a run are to be left out.
backs = st.integers(0, 12)
# Whether whoever dies does so after the append, or before; None: he lives.
deaths = st.none() | st.booleans()


class RunMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.root = Path(self.folder.name) / "0"
        self.time = NOON
        self.commands = 0
        self.dying: bool | None = None
        """Whether the next command's process dies after its append, or before; None: it lives."""
        self.torn: float | None = None
        """How much of the next command's commit is in the log when the power fails, if it does."""
        self.model = self.open("memory:")
        self.stores = [self.opened(), self.opened()]

    def open(self, address: str) -> Store:
        return open_store(
            address,
            durability="none",
            clock=lambda: self.time,
            threshold=THRESHOLD,
            snapshot_every=10**9 if address == "memory:" else SNAPSHOT_EVERY,
        )

    def opened(self) -> Store:
        """The store at `root`, opened once more."""
        raise NotImplementedError

    def kill(self) -> None:
        """Have both processes end without a warning, and two new ones begin."""
        self.reopen()

    def lose_views(self) -> None:
        """Have another program remove all views, and make them again."""
        raise NotImplementedError

    def teardown(self) -> None:
        try:
            self.do(0, send_mail, mortal=False)
            self.compare_everything()
            self.reopen()
            self.compare_everything()
            for store in self.stores:
                before = tables_of(store)
                check_views(store)
                store.rebuild()
                assert tables_of(store) == before
        finally:
            for store in (*self.stores, self.model):
                store.close()
            self.folder.cleanup()

    def do(self, place: int, call: Call, *, mortal: bool = True) -> None:
        """Do the same to the store and to the model, and check that it comes to the same, seen by the other process."""
        self.time += timedelta(seconds=1)
        self.commands += 1
        if self.dying is not None and mortal:
            self.die(place, call, after=self.dying)
            self.dying = None
        else:
            assert outcome(self.stores[place], call) == outcome(self.model, call)
        self.compare_views(1 - place)

    def die(self, place: int, call: Call, *, after: bool) -> None:
        """Do it to the store, whose process dies; to the model only if it was appended. A new process comes."""
        happened = 0

        def happen() -> None:
            nonlocal happened
            happened += 1
            if happened == (2 if after else 1):
                raise Died

        try:
            found = outcome(watched(self.stores[place], happen, lambda: self.time), call)
        except Died:
            if after:
                outcome(self.model, call)
        else:
            assert found == outcome(self.model, call)
        self.stores[place].close()
        self.stores[place] = self.opened()

    def epoch(self, run_id: str, belief: int | None) -> int | None:
        run = self.model.get_run(run_id, include_deleted=True)
        return None if belief is None or run is None else max(run.epoch + belief, 0)

    def attempt(self, run_id: str, task_id: str, belief: int | None) -> int | None:
        task = self.model.get_task_run(run_id, task_id)
        return None if belief is None or task is None else max(task.attempt + belief, 0)

    def known_runs(self) -> list[str]:
        """The runs there could be, and those there are several times."""
        return [*[run.id for run in self.model.list_runs()] * 4, *RUNS, *FORKS]

    def apt(self, run_id: str, task_id: str | None, *status: str) -> str:
        """The task; or, if it is None, the newest one in one of these statuses, if there is any."""
        known = [task.task_id for task in self.model.list_task_runs(run_id, status=status)]
        return task_id or (known or list(NEEDS))[-1]

    @initialize(
        value=values,
        rounds=st.integers(0, 4),
        back=st.none() | backs,
        some=st.sets(backs, min_size=2, max_size=3),
        dies_after=deaths,
    )
    def begin(self, value: object, rounds: int, back: int | None, some: set[int], dies_after: bool | None) -> None:
        self.create(0, "parent")
        self.do(0, lambda store: store.start_run("parent", worker="first"))
        self.schedule(0, "parent", set(NEEDS), "1", None)
        for _ in range(rounds):
            self.complete_all_that_is_ready(0, "parent", value)
        if back is not None:
            self.fork(0, "parent", "fork", back)
            self.resume(0, "fork", None, force=False)
        self.look_back(0, "parent", some)
        self.consume(0, dies_after)

    @rule(after=st.booleans())
    def let_the_next_die(self, after: bool) -> None:
        self.dying = after

    @rule(place=places, run_id=runs, fork_id=st.sampled_from((*FORKS, "child")), back=st.none() | backs)
    def fork(self, place: int, run_id: str, fork_id: str, back: int | None) -> None:
        version = None if back is None else self.model.log.version(run_id) - back
        self.do(place, lambda store: store.fork_run(run_id, version=version, fork_id=fork_id))

    @rule(place=places, run_id=st.sampled_from(RUNS))
    def create(self, place: int, run_id: str) -> None:
        parent = "parent" if run_id == "child" else None
        self.do(place, lambda store: store.create_run("flow", run_id=run_id, parent_run_id=parent, input=run_id))

    @rule(place=places, run_id=runs, lease=leases)
    def start_run(self, place: int, run_id: str, lease: float | None) -> None:
        self.do(place, lambda store: store.start_run(run_id, worker="first", lease=lease))

    @rule(place=places, run_id=runs, some=st.sets(tasks, min_size=1), fingerprint=st.sampled_from("12"), belief=beliefs)
    def schedule(self, place: int, run_id: str, some: set[str], fingerprint: str, belief: int | None) -> None:
        known = [
            Task(task_id, depends_on=NEEDS[task_id], fingerprint=fingerprint, always_run=task_id == ALWAYS)
            for task_id in sorted(some)
        ]
        epoch = self.epoch(run_id, belief)
        self.do(place, lambda store: store.schedule_tasks(run_id, known, epoch=epoch))

    @rule(place=places, run_id=runs, task_id=apt_tasks, belief=beliefs, number=beliefs)
    def start(self, place: int, run_id: str, task_id: str | None, belief: int | None, number: int | None) -> None:
        task_id = self.apt(run_id, task_id, "pending", "waiting")
        epoch, attempt = self.epoch(run_id, belief), self.attempt(run_id, task_id, number)
        again = attempt if attempt is None else attempt + 1
        self.do(place, lambda store: store.start_task(run_id, task_id, worker="w", attempt=again, epoch=epoch))

    @rule(
        place=places, run_id=runs, task_id=apt_tasks, value=values, belief=beliefs, number=beliefs, start=st.booleans()
    )
    def complete(
        self,
        place: int,
        run_id: str,
        task_id: str | None,
        value: object,
        belief: int | None,
        number: int | None,
        start: bool,
    ) -> None:
        task_id = self.apt(run_id, task_id, "running", "waiting")
        epoch, attempt = self.epoch(run_id, belief), self.attempt(run_id, task_id, number)
        usage = {"tokens": 1.0}
        self.do(
            place,
            lambda store: store.complete_task(
                run_id, task_id, value, attempt=attempt, usage=usage, implicit_start=start, epoch=epoch
            ),
        )

    @rule(place=places, run_id=runs, value=values)
    def complete_all_that_is_ready(self, place: int, run_id: str, value: object) -> None:
        if self.model.get_run(run_id) is not None:
            for task_id in self.model.resume_plan(run_id).ready:
                self.complete(place, run_id, task_id, [task_id, value], None, None, True)

    @rule(place=places, run_id=runs, task_id=apt_tasks, belief=beliefs, number=beliefs, error=reasons)
    def fail(
        self, place: int, run_id: str, task_id: str | None, belief: int | None, number: int | None, error: str
    ) -> None:
        task_id = self.apt(run_id, task_id, "running")
        epoch, attempt = self.epoch(run_id, belief), self.attempt(run_id, task_id, number)
        usage = {"tokens": 1.0}
        self.do(place, lambda store: store.fail_task(run_id, task_id, error, attempt=attempt, usage=usage, epoch=epoch))

    @rule(
        place=places,
        run_id=runs,
        task_id=apt_tasks,
        seconds=st.none() | st.integers(1, LEASE),
        belief=beliefs,
        number=beliefs,
    )
    def wait(
        self,
        place: int,
        run_id: str,
        task_id: str | None,
        seconds: int | None,
        belief: int | None,
        number: int | None,
    ) -> None:
        """A task becomes a gate; or a timer, if there are seconds."""
        task_id = self.apt(run_id, task_id, "pending", "running")
        epoch, attempt = self.epoch(run_id, belief), self.attempt(run_id, task_id, number)
        until = None if seconds is None else self.time + timedelta(seconds=seconds)
        self.do(place, lambda store: store.wait_task(run_id, task_id, "why", until=until, attempt=attempt, epoch=epoch))

    @rule(place=places, run_id=runs, task_id=apt_tasks, approved=st.booleans(), value=values, number=beliefs)
    def decide(
        self, place: int, run_id: str, task_id: str | None, approved: bool, value: object, number: int | None
    ) -> None:
        task_id = self.apt(run_id, task_id, "waiting")
        attempt = self.attempt(run_id, task_id, number)
        if approved:
            self.do(place, lambda store: store.approve_task(run_id, task_id, value, attempt=attempt))
        else:
            self.do(place, lambda store: store.reject_task(run_id, task_id, "no", attempt=attempt))

    @rule(place=places, run_id=runs, task_id=apt_tasks, delay=st.sampled_from((0, 2)), belief=beliefs)
    def retry(self, place: int, run_id: str, task_id: str | None, delay: int, belief: int | None) -> None:
        task_id = self.apt(run_id, task_id, "failed")
        epoch = self.epoch(run_id, belief)
        self.do(place, lambda store: store.retry_task(run_id, task_id, delay=delay, epoch=epoch))

    @rule(place=places, run_id=runs, task_id=apt_tasks, change=st.sampled_from(CHANGES), belief=beliefs)
    def change_task(self, place: int, run_id: str, task_id: str | None, change: str, belief: int | None) -> None:
        task_id = self.apt(run_id, task_id, "completed")
        epoch = self.epoch(run_id, belief)
        self.do(place, lambda store: getattr(store, change)(run_id, task_id, epoch=epoch))

    @rule(place=places, run_id=runs, lease=leases, force=st.booleans())
    def resume(self, place: int, run_id: str, lease: float | None, force: bool) -> None:
        self.do(place, lambda store: store.resume(run_id, worker="next", lease=lease, force=force))

    @rule(place=places, unleased=st.booleans())
    def recover(self, place: int, unleased: bool) -> None:
        self.do(place, lambda store: store.recover("next", LEASE, include_unleased=unleased))

    @rule(place=places, run_id=runs, belief=beliefs, how=st.sampled_from(("renewed", "waiting", "failed")))
    def change_run(self, place: int, run_id: str, belief: int | None, how: str) -> None:
        epoch = self.epoch(run_id, belief)
        calls: dict[str, Call] = {
            "renewed": lambda store: store.renew_lease(run_id, epoch=epoch or 0, lease=LEASE),
            "waiting": lambda store: store.wait_run(run_id, "an answer", epoch=epoch),
            "failed": lambda store: store.fail_run(run_id, "no", epoch=epoch),
        }
        self.do(place, calls[how])

    @precondition(lambda self: self.commands > 20)  # or there would be little else
    @rule(place=places, run_id=runs, how=st.sampled_from(ENDS), force=st.booleans(), cascade=st.booleans())
    def end_run(self, place: int, run_id: str, how: str, force: bool, cascade: bool) -> None:
        calls: dict[str, Call] = {
            "completed": lambda store: store.complete_run(run_id, run_id),
            "cancelled": lambda store: store.cancel_run(run_id, "why", cascade=cascade),
            "deleted": lambda store: store.delete_run(run_id, force=force, cascade=cascade),
            "purged": lambda store: store.purge_run(run_id, force=force, cascade=cascade, grace=0),
        }
        self.do(place, calls[how], mortal=how != "purged")

    @rule(place=places, dies_after=deaths)
    def consume(self, place: int, dies_after: bool | None) -> None:
        """Send mail about all completions since the last time. What is torn is one commit, and these may be two."""
        if dies_after is not None and self.torn is None:
            self.dying = dies_after
        self.do(place, send_mail, mortal=self.torn is None)

    @rule(place=places, run_id=runs, some=st.sets(backs, max_size=3))
    def look_back(self, place: int, run_id: str, some: set[int]) -> None:
        """Nothing is different after it; but one look may leave a snapshot for the next one."""
        for back in sorted(some, reverse=True):
            version = self.model.log.version(run_id) - back
            assert self.past(self.stores[place], run_id, version) == self.past(self.model, run_id, version)

    def past(self, store: Store, run_id: str, version: int) -> Rows:
        return without_positions(store, store.as_of(run_id, version=version).tables)

    def origins(self) -> list[str]:
        """The runs that have forks."""
        return [run.forked_from for run in self.model.list_runs(include_deleted=True) if run.forked_from]

    @precondition(lambda self: self.origins())
    @rule(place=places, cascade=st.booleans())
    def purge_an_origin(self, place: int, cascade: bool) -> None:
        """It stays, whoever wants it gone."""
        origin = self.origins()[-1]
        self.do(place, lambda store: store.purge_run(origin, force=True, cascade=cascade, grace=0), mortal=False)
        assert self.model.log.version(origin), "a fork needs it"

    @rule(seconds=st.integers(1, 2 * LEASE))
    def let_time_pass(self, seconds: int) -> None:
        self.time += timedelta(seconds=seconds)

    def reopen(self) -> None:
        for store in self.stores:
            store.close()
        self.stores = [self.opened(), self.opened()]

    @precondition(lambda self: self.commands % 4 == 3)  # this takes longer than all else
    @rule(how=st.sampled_from(("reopen", "kill", "lose_views")))
    def begin_anew(self, how: str) -> None:
        getattr(self, how)()
        self.commands += 1
        self.compare_everything()

    def compare_views(self, place: int) -> None:
        """The views are those of the model, and so is what some run could go on with: another one each time."""
        store = self.stores[place]
        assert without_positions(store, tables_of(store)) == without_positions(self.model, tables_of(self.model))
        known = self.model.list_runs()
        for run in known[self.commands % len(known) :][:1] if known else []:
            assert store.resume_plan(run.id) == self.model.resume_plan(run.id)

    def compare_everything(self) -> None:
        """What was acknowledged is there, in its order, and nothing else; and what a run could go on with is just what
        its events say is completed and counts.
        """
        for place, store in enumerate(self.stores):
            assert told(store.log) == told(self.model.log)
            self.compare_views(place)
            assert store.verify().clean
            for run in store.list_runs():
                judge = Judge(store, run.id)
                reusable = judge.reusable[-1]
                plan = store.resume_plan(run.id)
                assert plan == self.model.resume_plan(run.id)
                assert {task.task_id: task.digest for task in plan.reusable} == reusable
                outputs = {task_id: judge.values[task_id, digest] for task_id, digest in reusable.items()}
                assert list(store.get_completed_node_outputs(run.id).items()) == list(outputs.items())
                items = [output.task_id for output in store.list_item_outputs(run.id, "t1")]
                assert items == [task_id for task_id in judge.completions if task_id in PARTS]
