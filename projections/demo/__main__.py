"""One process of the demo: runs the workflow, or what is left of it. It can be told to die on the way.

python -m projections.demo --store ADDRESS [RUN]
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from projections import open_store
from projections.demo.analysis import standard_library
from projections.demo.runner import Runner, Step


def main() -> None:
    """Run the workflow in the store at this address."""
    parser = argparse.ArgumentParser(prog="python -m projections.demo", description="Run the demo's workflow.")
    parser.add_argument("--store", metavar="ADDRESS", help="the store; default: EVENTSTORE_URL, which no `ps` shows")
    parser.add_argument("run", nargs="?", default="demo", help="the id of the run; default: demo")
    parser.add_argument("--force", action="store_true", help="take the run over: its process is known to be dead")
    parser.add_argument("--note", type=Path, metavar="FILE", help="add a line to this file for each task that is begun")
    parser.add_argument("--die-in", metavar="TASK", help="end by SIGKILL in this task, once its work is done")
    arguments = parser.parse_args()
    address = arguments.store or os.environ.get("EVENTSTORE_URL")
    if not address:
        parser.error("give a store: --store ADDRESS, or EVENTSTORE_URL")
    workflow = standard_library()
    steps = [dying(step) if step.id == arguments.die_in else step for step in workflow.steps]
    if arguments.note is not None:
        steps = [noted(step, arguments.note) for step in steps]
    with open_store(address) as store:
        runner = Runner(store, worker=f"process {os.getpid()}")
        runner.run(msgspec.structs.replace(workflow, steps=tuple(steps)), arguments.run, force=arguments.force)


def noted(step: Step, file: Path) -> Step:
    """The step, with a line in a file for each time it really is begun, whatever the store says."""

    def call(inputs: Mapping[str, Any], attempt: int) -> object:
        with open(file, "a", encoding="utf-8") as notes:
            notes.write(f"{step.id}\n")
        return step.call(inputs, attempt)

    return msgspec.structs.replace(step, call=call)


def dying(step: Step) -> Step:
    """The step, killed at the worst moment: all its work is done, and nobody has been told."""

    def call(inputs: Mapping[str, Any], attempt: int) -> object:
        step.call(inputs, attempt)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("SIGKILL is not survived")

    return msgspec.structs.replace(step, call=call)


if __name__ == "__main__":
    main()
