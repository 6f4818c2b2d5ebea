"""Names that one worker at a time holds, over all processes: what keeps consumers of one name out of each other's way.

A hold ends with its process, however that ends. It is a courtesy: who believes to have one and has lost it does no
harm, because every checkpoint is moved by comparing it first.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self


def worker() -> str:
    """This process, as others know it: `host:pid`."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Hold:
    """A name that is held until it is released, or lost. A context manager; a forked process holds nothing."""

    def __init__(
        self,
        name: str,
        release: Callable[[], None],
        *,
        lost: Callable[[], bool] = lambda: False,
        descriptor: Callable[[], int] | None = None,
    ) -> None:
        """`descriptor` gives the file or socket on which it rests, with any copy that a forked process has."""
        self.name, self._release, self._lost, self._descriptor = name, release, lost, descriptor
        self._process, self._released = os.getpid(), False
        _holds.add(self)

    def __repr__(self) -> str:
        return f"<Hold {self.name} {'held' if self.held else 'gone'}>"

    @property
    def held(self) -> bool:
        """Whether it still lasts, as far as can be known without asking anybody."""
        return not self._released and self._process == os.getpid() and not self._lost()

    def release(self) -> None:
        """Let others have the name. Repeated calls do nothing."""
        if not self._released and self._process == os.getpid():
            self._released = True
            _holds.discard(self)
            self._release()

    def let_go(self) -> None:
        """Have a process that was just forked keep nothing of it, or it would last as long as that."""
        if self._descriptor is not None:
            with contextlib.suppress(Exception):  # it was lost before
                os.close(self._descriptor())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


_holds: set[Hold] = set()


def _let_go_of_all() -> None:
    for hold in _holds:
        hold.let_go()
    _holds.clear()


os.register_at_fork(after_in_child=_let_go_of_all)
