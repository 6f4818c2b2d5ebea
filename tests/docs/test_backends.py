"""What the document on backends shows is what happens."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from eventstore.log import Append, NewEvent
from eventstore.postgres import PostgresLog
from tests.docs.blocks import blocks_of
from tests.postgres import SERVERS, dsn, fresh_schema

DOCUMENT = "docs/BACKENDS.md"


def test_every_program_prints_what_the_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = ""
    for block in blocks_of(DOCUMENT):
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, DOCUMENT, "exec"), {"__name__": "backends"})
            printed = capsys.readouterr().out
        elif block.language == "text":
            assert block.text == printed
        else:
            assert block.language == "sql", f"line {block.line}: nobody tests a block of {block.language!r}"


@pytest.mark.parametrize("server", SERVERS)
def test_the_rights_that_it_lists_are_enough_to_open_a_store_and_to_append(server: str) -> None:
    (grants,) = [block.text for block in blocks_of(DOCUMENT) if block.language == "sql"]
    with fresh_schema(server) as schema, psycopg.connect(dsn(server), autocommit=True) as owner:
        PostgresLog(dsn(server), schema=schema).close()
        role = sql.Identifier(f"writer_{schema}")
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        for grant in grants.replace("name.", f"{schema}.").replace("SCHEMA name", f"SCHEMA {schema}").splitlines():
            owner.execute(grant.replace("writer;", f"writer_{schema};").encode())
        try:
            log = PostgresLog(psycopg.conninfo.make_conninfo(dsn(server), user=f"writer_{schema}"), schema=schema)
            log.append([Append("a", [NewEvent(type="happened", data=b"{}")], 0)])
            log.append([Append("a", [NewEvent(type="happened", data=b"{}")], 1), Append("b", (), 0)])
            assert [event.version for event in log.read_all()] == [1, 2]
            log.close()
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))
