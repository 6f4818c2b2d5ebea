"""Telling a log's hook what was committed, in the one way every log does it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from eventstore.log import Hook, RecordedEvent

_logger = logging.getLogger("eventstore")


def tell(hook: Hook | None, events: Sequence[RecordedEvent]) -> None:
    """Tell the hook, if there is one. Its error is logged and goes no further: the writer's events are safe."""
    if hook is None or not events:
        return
    try:
        hook.committed(events)
    except Exception:
        _logger.warning("the events are safe, but the views could not follow", exc_info=True)
