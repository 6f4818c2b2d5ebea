"""A network between client and server that fails as the test says: cuts connections, or swallows what is sent."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Literal, get_args

Direction = Literal["to the server", "to the client"]

READY = b"Z"
"""The letter of the message by which a server asks for the next command."""


class Proxy:
    """Listens on a port of its own, and carries messages of the Postgres protocol to the server's and back."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._left = 0
        self._direction: Direction = "to the server"
        self._half = False
        self._swallowed: tuple[Direction, ...] = ()
        self._sockets: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_all()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        self.cut_all()
        for thread in self._threads:
            thread.join()

    @property
    def dsn(self) -> str:
        """The server's address through this network."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable&gssencmode=disable"

    def cut_before(self, number: int, direction: Direction, *, half: bool = False) -> None:
        """Cut the connection that carries this message, after half of it if wanted. What is said to make a connection
        does not count.
        """
        with self._lock:
            self._left, self._direction, self._half = number, direction, half

    @property
    def has_cut(self) -> bool:
        """Whether that message has come."""
        with self._lock:
            return self._left == 0

    def swallow(self, *directions: Direction) -> None:
        """Carry nothing any more, or not in this direction. Connections are accepted and stay open."""
        with self._lock:
            self._swallowed = directions or get_args(Direction)

    def heal(self) -> None:
        """Carry everything again, on new connections."""
        with self._lock:
            self._swallowed = ()
        self.cut_all()

    def cut_all(self) -> None:
        """Cut every connection there is."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for end in sockets:
            _hang_up(end)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                with self._lock:
                    self._sockets |= {client, server}
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                made = threading.Event()
                for ends in ((client, server, "to the server", made), (server, client, "to the client", made)):
                    self._threads.append(threading.Thread(target=self._carry, args=ends))
                    self._threads[-1].start()

    def _carry(self, source: socket.socket, target: socket.socket, direction: Direction, made: threading.Event) -> None:
        with contextlib.suppress(OSError):
            for message in _messages(source, direction):
                part = self._passed(message, direction, counted=made.is_set())
                if message.startswith(READY) and direction == "to the client":
                    made.set()
                if part is not None:
                    target.sendall(part)
                    if part != message:
                        break
        _hang_up(source)
        _hang_up(target)

    def _passed(self, message: bytes, direction: Direction, *, counted: bool) -> bytes | None:
        """What is carried of a message. None if it is swallowed; less than all of it if the connection is cut."""
        with self._lock:
            if direction in self._swallowed:
                return None
            if counted and self._left and direction == self._direction:
                self._left -= 1
                if self._left == 0:
                    return message[: len(message) // 2] if self._half else b""
            return message


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


def _messages(source: socket.socket, direction: Direction) -> Iterator[bytes]:
    """The messages that come in. A client's first has no letter in front."""
    letter = 0 if direction == "to the server" else 1
    read = source.makefile("rb")
    while len(start := read.read(letter + 4)) == letter + 4:
        rest = int.from_bytes(start[letter:], "big") - 4
        yield start + read.read(rest)
        letter = 1
