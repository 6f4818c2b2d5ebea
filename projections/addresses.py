"""Store addresses: `jsonl:PATH`, `sqlite:PATH`, `postgresql://…`, `memory:`, or just the path of a folder or file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from eventstore.errors import InvalidInput

Scheme = Literal["jsonl", "sqlite", "postgresql", "memory"]

_OPTIONS = ("schema", "ordering", "prepare")


class Address(msgspec.Struct, frozen=True):
    """Where a store is. `shown` is the address without its password."""

    scheme: Scheme
    shown: str
    path: Path = Path()
    dsn: str = ""
    options: dict[str, Any] = {}


def parse_address(address: str) -> Address:
    """What an address says. A bare path is a SQLite file if it ends in `.db` or is one, else a folder of files.

    Raises `InvalidInput` for one that means nothing.
    """
    scheme, colon, rest = address.partition(":")
    if scheme in ("postgresql", "postgres"):
        return _postgres_address(address)
    if scheme == "memory" and colon:
        if rest:
            raise InvalidInput(f"a memory store has no path, but {rest!r} was given", "Use memory: alone.")
        return Address("memory", address)
    if scheme in ("jsonl", "sqlite") and colon:
        return _path_address("sqlite" if scheme == "sqlite" else "jsonl", address, rest)
    if "://" in address:
        hint = "Use jsonl:PATH, sqlite:PATH, postgresql://USER@HOST/DATABASE, or memory:."
        raise InvalidInput(f"no store is kept at addresses like {scheme}://", hint)
    return _path_address("sqlite" if address.endswith(".db") or Path(address).is_file() else "jsonl", address, address)


def _path_address(scheme: Scheme, address: str, path: str) -> Address:
    if not path:
        raise InvalidInput("the store address has no path", f"Use {scheme}:PATH.")
    if "://" in path or path.startswith("//") or path == ":memory:":
        raise InvalidInput(f"{path!r} is not a path", f"Use {scheme}:PATH, or memory: for a store in memory.")
    return Address(scheme, address, path=Path(path))


def _postgres_address(address: str) -> Address:
    """The rest of the query is for the Postgres client."""
    try:
        parts = urlsplit(address)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        raise InvalidInput("the Postgres address cannot be read", "Use postgresql://USER@HOST/DATABASE.") from error
    if not parts.netloc and not parts.path and not parts.query:
        raise InvalidInput("the Postgres address is empty", "Use postgresql://USER@HOST/DATABASE.")
    options: dict[str, Any] = {key: value for key, value in query if key in _OPTIONS}
    if "prepare" in options:
        if options["prepare"] not in ("on", "off"):
            raise InvalidInput(f"prepare={options['prepare']} in the address", "Use prepare=on or prepare=off.")
        options["prepare"] = options["prepare"] == "on"
    client = urlencode([(key, value) for key, value in query if key not in _OPTIONS])
    host = parts.netloc.rpartition("@")
    user = host[0].partition(":")[0]
    shown = urlunsplit(("postgresql", f"{user}@{host[2]}" if user else host[2], parts.path, _shown_query(query), ""))
    return Address("postgresql", shown, dsn=urlunsplit(parts._replace(query=client)), options=options)


def _shown_query(query: list[tuple[str, str]]) -> str:
    return urlencode([(key, value) for key, value in query if key != "password"])
