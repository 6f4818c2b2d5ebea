"""Runs the demo: one process is killed, another finishes its work, and every claim is checked before it is printed."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from eventstore.codec import Codec
from eventstore.errors import EventStoreError, InvalidInput
from eventstore.values import encode_value
from projections import Plan, Store, open_store
from projections.addresses import parse_address
from projections.demo.analysis import standard_library
from projections.demo.runner import Runner, Workflow
from projections.verify_files import verify_files
from projections.verify_sqlite import verify_sqlite

Echo = Callable[[str], None]


class BrokenPromise(EventStoreError):
    """The demo has shown something else than it promises."""

    code = "broken-promise"


def run_demo(address: str, echo: Echo) -> None:
    """Show a workflow that is killed and resumed, in the store at this address, under a run id that is not in use.

    Raises `BrokenPromise`, or another `EventStoreError`, as soon as anything is not as it should be.
    """
    if parse_address(address).scheme == "memory":
        raise InvalidInput("a store in memory ends with its process", "Give the address of a store that lasts.")
    with tempfile.TemporaryDirectory(prefix="flowledger-demo-notes-") as scratch:
        tell(address, unused_run_id(address), Path(scratch) / "notes", echo)


def unused_run_id(address: str) -> str:
    """`demo`, or with a number if there is such a run."""
    with open_store(address) as store:
        known = {run.id for run in store.list_runs(include_deleted=True)}
    return next(run_id for n in range(1, len(known) + 2) if (run_id := f"demo-{n}" if n > 1 else "demo") not in known)


def tell(address: str, run_id: str, notes: Path, echo: Echo) -> None:
    """Run the workflow in two processes of which the first is killed, and beside them one that nobody disturbs."""
    workflow = standard_library()
    victim = half_way(workflow)
    shown = parse_address(address).shown
    echo(f"Store     {shown}, run {run_id}")
    echo(f"Workflow  {workflow.name}: {len(workflow.steps)} tasks: list modules, parse each package with ast,")
    echo("          measure each package, one import graph, one summary")
    with ThreadPoolExecutor(1) as pool:
        undisturbed = pool.submit(undisturbed_result, workflow)
        process(address, run_id, notes, "--die-in", victim, ends=-signal.SIGKILL)
        with open_store(address) as store:
            plan = store.resume_plan(run_id)
        echo_kill(plan, victim, echo)
        process(address, run_id, notes, "--force", ends=0)
        with open_store(address) as store:
            echo_resume(store, plan, echo)
            check_executions(store, plan, notes, echo)
            check_result(store, run_id, undisturbed.result(), echo)
    check_store(address, echo)
    where = shlex.quote(shown)
    echo("\nTry next:")
    echo(f"  eventstore show {run_id} --store {where}")
    echo(f"  eventstore events {run_id} --store {where}")
    echo(f"  eventstore outputs {run_id} summary --store {where}")


def half_way(workflow: Workflow) -> str:
    """The middle one of the tasks that parse a package: that is where the work is."""
    parsing = [step.id for step in workflow.steps if step.id.startswith("parse.")]
    return parsing[len(parsing) // 2]


def undisturbed_result(workflow: Workflow) -> Any:
    """What the workflow comes to if nobody kills it, in a store of its own."""
    with open_store("memory:") as store:
        return Runner(store, worker="undisturbed").run(workflow, "undisturbed")


def process(address: str, run_id: str, notes: Path, *options: str, ends: int) -> None:
    """Have a process of its own run the workflow, and check that it ends as it should."""
    command = [sys.executable, "-m", "projections.demo", run_id, "--note", str(notes), *options]
    done = subprocess.run(  # noqa: S603 - this very program, with arguments of its own
        command,
        env=os.environ | {"EVENTSTORE_URL": address},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    promise(done.returncode == ends, f"a process ended with {done.returncode}, not {ends}: {done.stderr.strip()}")


def echo_kill(plan: Plan, victim: str, echo: Echo) -> None:
    """Tell what the first process has left behind."""
    promise(plan.status == "running", f"the killed process has left a run that is {plan.status}")
    promise([task.task_id for task in plan.in_doubt] == [victim], f"in doubt are {plan.in_doubt}, not {victim}")
    parsed = sum(task.task_id.startswith("parse.") for task in plan.reusable)
    echo(
        f"\nFirst     {plan.in_doubt[0].worker}: {len(plan.reusable)} tasks done, among them {parsed} packages parsed,"
    )
    echo(f"          then kill -9 in the middle of {victim}")


def echo_resume(store: Store, plan: Plan, echo: Echo) -> None:
    """Tell what the second process has made of it."""
    run = store.get_run(plan.run_id)
    if run is None or (run.status, run.epoch) != ("completed", 2):
        raise BrokenPromise(f"the run has ended as {run}")
    reused = {task.task_id for task in store.list_task_runs(plan.run_id) if task.reused_version}
    promise(reused == {task.task_id for task in plan.reusable}, f"reused were {sorted(reused)}")
    attempts = store.list_attempts(plan.run_id)
    again = [attempt.task_id for attempt in attempts if attempt.status == "interrupted"]
    promise(again == [task.task_id for task in plan.in_doubt], f"interrupted were {again}")
    failures = [(attempt.task_id, attempt.failure.message) for attempt in attempts if attempt.failure is not None]
    promise(len(failures) == 1, f"failed have {failures}, not one task once")
    new = {attempt.task_id for attempt in attempts if attempt.epoch == 2}.difference(again)
    echo(f"Second    {run.worker}: claims the run (epoch {run.epoch}), reuses {len(reused)} tasks,")
    echo(f"          runs the one in doubt again ({again[0]}) and the {len(new)} that never ran")
    echo(f"          {failures[0][0]} failed once and was retried: {failures[0][1]}")


def check_executions(store: Store, plan: Plan, notes: Path, echo: Echo) -> None:
    """What really was executed, by the notes that the tasks took, against what the store has recorded."""
    executed = Counter(notes.read_text(encoding="utf-8").splitlines())
    recorded = Counter(attempt.task_id for attempt in store.list_attempts(plan.run_id))
    promise(executed == recorded, f"executed and recorded differ: {executed - recorded} {recorded - executed}")
    twice = {task_id: count for task_id, count in executed.items() if count > 1}
    promise(twice.keys().isdisjoint(task.task_id for task in plan.reusable), f"completed tasks ran again: {twice}")
    echo(f"\nChecked   no completed task ran twice: {executed.total()} executions noted for {len(executed)} tasks,")
    echo(f"          two each for {' and '.join(sorted(twice))}")


def check_result(store: Store, run_id: str, undisturbed: Any, echo: Echo) -> None:
    """The result of the run that was killed against that of the one that was not."""
    result = store.get_result(run_id, "summary")
    promise(result == undisturbed, "the result is not that of an uninterrupted run")
    digest = hashlib.sha256(encode_value(result)).hexdigest()
    echo(f"Checked   the result equals that of an uninterrupted run (sha256 {digest[:12]}…)")
    values = [output.output for output in store.list_outputs(run_id) if output.output is not None]
    blobs = [value.size for value in values if isinstance(value.json, msgspec.UnsetType)]
    promise(len(blobs) == 1, f"{len(blobs)} outputs were large enough for a blob, not 1")
    echo(f"Checked   1 output of {blobs[0]:,} bytes is kept as a blob, the other {len(values) - 1} in the log")
    popular = ", ".join(f"{name} ({count})" for name, count in result["most_imported"][:5])
    echo(f"Result    {result['modules']} modules, {result['lines']:,} lines; most imported: {popular}")


def check_store(address: str, echo: Echo) -> None:
    """Log, hashes, views, files and blobs, as `eventstore verify` checks them."""
    parsed = parse_address(address)
    if parsed.scheme == "jsonl":
        report = verify_files(parsed.path, Codec())
    elif parsed.scheme == "sqlite":
        report = verify_sqlite(parsed.path, Codec())
    else:
        with open_store(address) as store:
            report = store.verify()
    promise(report.clean, f"verify has found something: {report.findings}")
    echo(f"Checked   verify is clean: {report.events} events, {report.blobs} blob")


def promise(kept: bool, otherwise: str) -> None:
    """Raise `BrokenPromise` unless a promise is kept."""
    if not kept:
        raise BrokenPromise(otherwise)
