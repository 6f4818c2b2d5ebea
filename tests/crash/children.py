"""Child processes for the tests: started in about a millisecond, heard message by message, killed at will.

A test process has threads, and one that has must not fork. So a helper that has none, with all it needs imported
already, forks for it. A child runs one function of a module, with its connection to the test as the first argument.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec

Arguments = ParamSpec("Arguments")
Job = Callable[Concatenate[Connection, Arguments], object]

PATIENCE = 60.0
"""Seconds after which a silent child counts as hung."""

_LONGEST_JOB = 1 << 16


class ChildFailed(AssertionError):
    """The child raised an error; its traceback is the text."""


class Child:
    """A running child process."""

    def __init__(self, pid: int, connection: Connection, reap: Callable[[int], int]) -> None:
        self.pid, self._connection, self._reap = pid, connection, reap

    def send(self, message: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # why it is gone shows when it is listened to
            self._connection.send(message)

    def receive(self) -> Any:
        """The child's next message. Raises `EOFError` if it is gone, `ChildFailed` if it raised an error."""
        assert self._connection.poll(PATIENCE), f"child {self.pid} has said nothing for {PATIENCE:.0f} s"
        try:
            message = self._connection.recv()
        except ConnectionResetError:  # it went without reading all that was sent to it
            raise EOFError from None
        if isinstance(message, ChildFailed):
            raise message
        return message

    def rest(self) -> Iterator[Any]:
        """All messages until the child is gone."""
        while True:
            try:
                yield self.receive()
            except EOFError:
                return

    def kill(self) -> None:
        """As `kill -9` does."""
        os.kill(self.pid, signal.SIGKILL)

    def result(self) -> Any:
        """The last message, after which the child has gone of its own accord."""
        *_, last = self.rest()
        assert self.end() == 0
        return last

    def end(self) -> int:
        """Wait until the child is gone: its exit code, or minus the signal that killed it."""
        return self._reap(self.pid)

    def close(self) -> None:
        self._connection.close()


class Children:
    """Starts child processes, and leaves none behind."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", f"from {__name__} import serve; serve({theirs.fileno()})"]
            checkout = Path(__file__).parents[2]
            self._helper = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=checkout)
        self._running: dict[int, Child] = {}

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in list(self._running.values()):
            child.kill()
            child.end()
        self._socket.close()
        self._helper.wait()

    def start(self, job: Job[Arguments], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Child:
        ours, theirs = Pipe()
        with theirs:
            socket.send_fds(self._socket, [pickle.dumps((job, args, kwargs))], [theirs.fileno()])
            pid = self._answer()
        self._running[pid] = Child(pid, ours, self._reap)
        return self._running[pid]

    def _reap(self, pid: int) -> int:
        """Until it is reaped no other process can have a dead child's number, so to kill by number is safe."""
        child = self._running.pop(pid)
        self._socket.send(pickle.dumps(pid))
        child.close()
        return self._answer()

    def _answer(self) -> int:
        answer: int = pickle.loads(self._socket.recv(_LONGEST_JOB))
        return answer


def serve(file: int) -> None:
    """Fork a child for every job, and reap it when told to, until the test closes the connection."""
    requests = socket.socket(fileno=file)
    while True:
        data, files, _, _ = socket.recv_fds(requests, _LONGEST_JOB, 1)
        if not data:
            return
        request = pickle.loads(data)
        if isinstance(request, int):
            answer = os.waitstatus_to_exitcode(os.waitpid(request, 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                requests.close()
                run(Connection(files[0]), *request)
            os.close(files[0])
        requests.send(pickle.dumps(answer))


def run(test: Connection, job: Job[...], args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    """Do the job in a forked child, say how it ended, and leave without the helper's own clean-up."""
    code = 1
    try:
        with failures_told(test):
            test.send(job(test, *args, **kwargs))
        code = 0
    finally:
        os._exit(code)


@contextlib.contextmanager
def failures_told(test: Connection) -> Iterator[None]:
    """Tell the test at once of an error inside. A thread's own would not show until the others have ended."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(BrokenPipeError):  # the test is gone
            test.send(ChildFailed(traceback.format_exc()))
        raise
