"""What verification finds, as data."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "info"]

REBUILD = "Run `eventstore rebuild`: the views are made again from the log."
RESTORE = "Copy the store aside and restore this from a backup."


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it should be: an `error` when the truth is affected, a `warning` when a view is, and
    `info` for what is odd and harmless. `code` is stable and meant for programs. `stream` is set if something can be
    done about that stream as a whole.
    """

    severity: Severity
    code: str
    where: str
    message: str
    action: str
    stream: str = ""


def doubts_log(finding: Finding) -> bool:
    """Whether the log may hold less than was written, or this program may not read all of it."""
    if finding.severity == "error":
        return not finding.code.startswith(("orphan-", "blob-"))
    return finding.code in ("newer-schema", "view-ahead")
