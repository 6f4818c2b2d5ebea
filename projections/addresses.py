"""Store addresses: `jsonl:PATH`, `sqlite:PATH`, `postgresql://…`, `memory:`, or just the path of a folder or file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec

from eventstore.errors import InvalidInput

Scheme = Literal["jsonl", "sqlite", "postgresql", "memory"]

_OPTIONS = ("schema", "ordering", "prepare", "notify")
_SWITCHES = {"prepare", "notify"}
_READABLE = "Use postgresql://USER:PASSWORD@HOST/DATABASE, with special characters percent-encoded."
_MISSPELT = re.compile(r"^postgres\w*/.*@|\bpassword\s*=", re.IGNORECASE)
"""Not to be taken for paths: an error would show their passwords."""


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
    hint = "Use jsonl:PATH, sqlite:PATH, postgresql://USER@HOST/DATABASE, or memory:."
    if "://" in address:
        raise InvalidInput(f"no store is kept at addresses like {scheme}://", hint)
    if _MISSPELT.search(address):
        raise InvalidInput("this looks like the address of a database, but is none", hint)
    return _path_address("sqlite" if address.endswith(".db") or Path(address).is_file() else "jsonl", address, address)


def _path_address(scheme: Scheme, address: str, path: str) -> Address:
    if not path:
        raise InvalidInput("the store address has no path", f"Use {scheme}:PATH.")
    if "://" in path or path.startswith("//") or path == ":memory:":
        hint = f"Use {scheme}:PATH, or memory: for a store in memory."
        raise InvalidInput(f"what stands behind {scheme}: is not a path", hint)
    return Address(scheme, address, path=Path(path))


def _postgres_address(address: str) -> Address:
    """The rest of the query is for the Postgres client."""
    try:
        parts = urlsplit(address)
        plain = parts.query.replace("+", "%2B")  # which is no space to the Postgres client
        query = parse_qsl(plain, keep_blank_values=True, strict_parsing=bool(plain))
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise InvalidInput("the Postgres address cannot be read", _READABLE) from None  # it may name the password
    if "://" not in address or parts.fragment:
        raise InvalidInput("the Postgres address cannot be read", _READABLE)
    if not parts.netloc and not parts.path and not parts.query:
        raise InvalidInput("the Postgres address is empty", "Use postgresql://USER@HOST/DATABASE.")
    options: dict[str, Any] = {key: value for key, value in query if key in _OPTIONS}
    for key in options.keys() & _SWITCHES:
        if options[key] not in ("on", "off"):
            raise InvalidInput(f"{key}={options[key]} in the address", f"Use {key}=on or {key}=off.")
        options[key] = options[key] == "on"
    client = [(key, value) for key, value in query if key not in _OPTIONS]
    host = parts.netloc.rpartition("@")
    user = host[0].partition(":")[0]
    harmless = [(key, value) for key, value in query if "password" not in key]
    shown = _url(f"{user}@{host[2]}" if user else host[2], parts.path, harmless)
    return Address("postgresql", shown, dsn=_url(parts.netloc, parts.path, client), options=options)


def _url(netloc: str, path: str, query: list[tuple[str, str]]) -> str:
    """Put together by hand: `urlunsplit` leaves the slashes out where there is no host."""
    return f"postgresql://{netloc}{path}{'?' if query else ''}{urlencode(query, quote_via=quote)}"
