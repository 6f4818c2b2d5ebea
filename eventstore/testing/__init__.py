"""The log contract as tests, for whoever writes a log: here, and in suites of their own.

    class TestMyLog(PersistentLogContract):
        def open_log(self, place: Path, *, hook: Hook | None = None) -> Log:
            return MyLog(place / "my.log", hook=hook)

A log that lives in memory only inherits from `LogContract`. Needs pytest and hypothesis.
"""

from __future__ import annotations

import pytest

# So that a test that fails in somebody else's suite shows what it compared.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{part}"
        for part in (
            "appending",
            "checkpoints",
            "consuming",
            "following",
            "holding",
            "idempotence",
            "keeping",
            "living",
            "opening",
            "order",
            "persistence",
            "purging",
            "reading",
            "refusals",
            "restored_purges",
            "restoring",
            "standings",
        )
    )
)

from eventstore.testing.contract import LogContract, PersistentLogContract  # noqa: E402 - after the registration

__all__ = ["LogContract", "PersistentLogContract"]
