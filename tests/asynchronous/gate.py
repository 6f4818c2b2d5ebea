"""Holds a call in its thread for as long as a test needs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

PATIENCE = 30.0

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


class Gate:
    """Closed at first. The first call of a function that is held waits at it until it is opened."""

    def __init__(self) -> None:
        self._reached, self._opened = threading.Event(), threading.Event()

    def before(self, function: Callable[P, ResultT]) -> Callable[P, ResultT]:
        """The function, held before it does anything."""

        def held(*args: P.args, **kwargs: P.kwargs) -> ResultT:
            self.stop()
            return function(*args, **kwargs)

        return held

    def after(self, function: Callable[P, ResultT]) -> Callable[P, ResultT]:
        """The function, held when it has done everything."""

        def held(*args: P.args, **kwargs: P.kwargs) -> ResultT:
            result = function(*args, **kwargs)
            self.stop()
            return result

        return held

    def stop(self) -> None:
        """Wait at the gate, unless somebody has before."""
        if not self._reached.is_set():
            self._reached.set()
            assert self._opened.wait(PATIENCE)

    async def reached(self) -> None:
        """Wait until the call has come to the gate."""
        await until(self._reached.is_set)

    def open(self) -> None:
        """Let the call go on."""
        self._opened.set()


async def until(condition: Callable[[], bool]) -> None:
    """Let everything else go on until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)
