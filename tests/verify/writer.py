"""What other processes do to a store while it is verified."""

from __future__ import annotations

from itertools import count
from multiprocessing.connection import Connection

from projections import open_store

from .example import complete


def work(test: Connection, address: str, name: str) -> int:
    """Do everything that can be done with runs until told to stop, and say how many there have been."""
    with open_store(address, durability="none", threshold=200) as store:
        test.send("working")
        for number in count(1):
            run_id = f"{name} {number}"
            store.create_run("flow", run_id=run_id)
            store.start_run(run_id)
            for task_id in ("first", "second"):
                store.schedule_task(run_id, task_id)
                complete(store, run_id, task_id, task_id * 100)
            store.invalidate_task(run_id, "first")
            store.cancel_run(run_id)
            if number % 4 == 2:
                store.delete_run(run_id)
            if number % 8 == 3:
                store.log.purge(run_id)
            if test.poll():
                return number
    raise AssertionError


def come_and_go(test: Connection, address: str) -> int:
    """Open the store, append and close it until told to stop, as a command line does."""
    test.send("working")
    for number in count(1):
        with open_store(address, durability="none") as store:
            store.create_run("flow", run_id=f"visit {number}")
        if test.poll():
            return number
    raise AssertionError
