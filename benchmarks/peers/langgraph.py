"""LangGraph's checkpointers, used as its engine uses them for a chain of steps that each add to the state.

For each step the engine saves the step's writes, and then a checkpoint of the state with all outputs so far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from langgraph.checkpoint.base import empty_checkpoint

from benchmarks.payload import OUTPUT
from benchmarks.peers import Peer, Work

UNLIKE = "the checkpointer alone, without the engine above it; saves all outputs so far with every step"
CHANNEL = "outputs"


def peer(saver: Any, settings: str, size: Callable[[], int]) -> Peer:
    """A chain of steps, each of which puts its output into one channel."""

    def steps(number: int) -> Work:
        config = {"configurable": {"thread_id": uuid4().hex, "checkpoint_ns": ""}}

        def work() -> None:
            run, outputs = config, {}
            for step in range(number):
                outputs[f"task-{step}"] = OUTPUT
                if step:
                    saver.put_writes(run, [(CHANNEL, {f"task-{step}": OUTPUT})], task_id=uuid4().hex)
                version = f"{step + 1:032}.0"
                checkpoint = empty_checkpoint() | {
                    "channel_values": {CHANNEL: dict(outputs)},
                    "channel_versions": {CHANNEL: version},
                }
                run = saver.put(run, checkpoint, {"source": "loop", "step": step}, {CHANNEL: version})

        return work

    return Peer(settings, steps=steps, size=size, unlike=UNLIKE)
