"""Postgres servers of the tests' own, to be stopped, killed and started again.

A server does not outlive the process that started it, however that process ends: see `_GUARDED`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import quote

import psycopg
from psycopg import sql

from tests.postgres_programs import ADVICE, Account, Binaries, NoPostgres, accounts, open_to_all

PATIENCE = 60.0
"""Seconds after which a server that neither starts nor stops counts as hung."""

GUARDED_USER = "guarded"
"""The one user of whom a server asks a password, over TCP."""

Mode = Literal["fast", "immediate"]

_SIGNALS: dict[Mode, signal.Signals] = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}

_PORTS = range(20_000, 32_000)  # below those that systems give to outgoing connections

_GUARDED = """
exec 3<&0 </dev/null
( ( exec >/dev/null 2>&1
    read -r stopped <&3 || kill -QUIT $$
    read -r again <&3 || { sleep 0.5; rm -rf "$0"; } ) & )
exec "$@" 3<&-
"""
"""The server takes the shell's place, and so its number; the process it leaves behind listens to the tests.

The end of the input means that the tests are gone, `kill -9` included: it stops the server and removes its scratch
folder. A line means that the server has stopped, a second line that the scratch folder is somebody else's care.
The input ends only when the last process forked from the tests is gone too, so a fork never stops its parent's server.
"""

_WHO_MAY_CONNECT = f"""\
local all all trust
host all {GUARDED_USER} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""


class Server:
    """A server that has one address for life.

    Its data are kept in `folder`, and durably, as in production; without a folder they go with the server, and
    `durable=False` saves the flushes where no test depends on them. `settings` may be changed before each start.
    """

    def __init__(
        self,
        binaries: Binaries,
        folder: Path | None = None,
        *,
        settings: Mapping[str, str | int] | None = None,
        durable: bool = True,
        account: Account | None = None,
    ) -> None:
        self.name, self.version = binaries.name, binaries.version
        self.account = accounts()[0] if account is None else account
        self.settings: dict[str, str | int] = {"max_connections": 200}
        if not durable:
            self.settings |= {"fsync": "off", "full_page_writes": "off"}
        self.settings |= settings or {}
        self.port = _free_port()
        self.scratch = Path(tempfile.mkdtemp(prefix="postgres-"))  # short: a socket's path has 103 bytes at most
        home = self.scratch if folder is None else folder
        home.mkdir(parents=True, exist_ok=True)
        self._binaries = binaries
        if self.account.user is not None:
            os.chown(self.scratch, self.account.user, self.account.user)
            if not open_to_all(binaries.folder):
                self._binaries = binaries.copy(self.scratch)
            if not open_to_all(home):
                home = self.scratch
        self.data, self.log = home / "data", home / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: int | None = None

    def __repr__(self) -> str:
        state = "stopped" if self._process is None else f"pid={self._process.pid}"
        return f"<Server {self.name} {self.account.name} port={self.port} {state}>"

    def __enter__(self) -> Server:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def dsn(self) -> str:
        """Over TCP, as an engine connects."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def socket_dsn(self) -> str:
        """Over the Unix socket."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.scratch), safe='')}&port={self.port}"

    @property
    def pid(self) -> int:
        """The number of the postmaster, which starts all other processes of the server."""
        return self._running().pid

    def guarded(self, password: str) -> str:
        """The address with a user who has this password and is asked for it."""
        user = sql.Identifier(GUARDED_USER)
        with psycopg.connect(self.dsn) as connection:
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(user))
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(user, password))
        return f"postgresql://{GUARDED_USER}:{quote(password, safe='')}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and return when it takes connections. The first time, its data are made."""
        assert self._process is None, f"{self!r} is running"
        if not (self.data / "PG_VERSION").exists():
            self._make_data()
        self._tell_guard("the scratch folder passes to the next guard")
        command = [*self._program("postgres"), "-D", str(self.data)]
        places = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.scratch}
        for name, value in (self.settings | places).items():
            command += ["-c", f"{name}={value}"]
        told, self._guard = os.pipe()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _GUARDED, str(self.scratch), *command],
                stdin=told,
                stdout=subprocess.PIPE,  # nothing is ever written; its end tells that the last process is gone
                stderr=log,
                start_new_session=True,
                user=self.account.user,
                group=self.account.user,
                extra_groups=self._groups(),
            )
        os.close(told)
        self._wait_until_ready()

    def stop(self, mode: Mode = "fast") -> None:
        """Stop it: `fast` ends every session in order, `immediate` leaves the data as a crash does."""
        self._running().send_signal(_SIGNALS[mode])
        self._wait_until_gone()

    def kill(self) -> None:
        """`kill -9` of the postmaster. The other processes notice and go."""
        self._running().kill()
        self._wait_until_gone()

    def restart(self, mode: Mode = "fast") -> None:
        """Stop it and start it again."""
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop it if it runs, and leave nothing but what is in the folder that was given."""
        if self._process is not None:
            self.stop("immediate")
        self._tell_guard("the scratch folder is removed here")
        shutil.rmtree(self.scratch)

    def _make_data(self) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        if self.account.user is not None:
            os.chown(self.data, self.account.user, self.account.user)
        options = ["-U", "postgres", "-N", "--locale=C", "-E", "UTF8", "--auth=trust", "--no-instructions"]
        made = subprocess.run(
            [*self._program("initdb"), *options, "-D", str(self.data)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            user=self.account.user,
            group=self.account.user,
            extra_groups=self._groups(),
        )
        if made.returncode != 0:
            raise self._failure("initdb", made.stdout)
        (self.data / "pg_hba.conf").write_text(_WHO_MAY_CONNECT)

    def _program(self, name: str) -> list[str]:
        return [*self.account.prefix, str(self._binaries.folder / name)]

    def _groups(self) -> list[int] | None:
        return None if self.account.user is None else []

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self!r} is not running"
        return self._process

    def _wait_until_ready(self) -> None:
        process, deadline = self._running(), time.monotonic() + PATIENCE
        while not self._ready(process.pid):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.01)
                self._wait_until_gone()
                raise self._failure("postgres", self.log.read_bytes())
            if time.monotonic() > deadline:
                self.kill()
                raise self._failure("postgres", self.log.read_bytes())

    def _ready(self, pid: int) -> bool:
        """The last line of this file tells; after a crash the file may still be that of the server before."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _wait_until_gone(self) -> None:
        process = self._running()
        assert process.stdout is not None
        if not wait([process.stdout.fileno()], PATIENCE):
            raise self._failure("postgres, told to stop,", self.log.read_bytes())
        self._tell_guard("stopped", last=False)  # before its number can be another process's
        process.wait()
        process.stdout.close()
        self._process = None

    def _tell_guard(self, what: str, *, last: bool = True) -> None:
        if self._guard is None:
            return
        os.write(self._guard, what.encode() + b"\n")
        if last:
            os.close(self._guard)
            self._guard = None

    def _failure(self, program: str, said: bytes) -> NoPostgres:
        text = said[-2_000:].decode(errors="replace").strip()
        return NoPostgres(
            f"{program} of {self.name} in {self._binaries.folder}, run {self.account.name}, failed:\n{text}\n{ADVICE}"
        )


def _free_port() -> int:
    """A port nobody listens on. Not from `random`, which tests seed: two processes would choose the same."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
