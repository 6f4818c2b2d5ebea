"""Histories of Temporal for tests: one that has everything, and small ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HISTORY = Path(__file__).parent / "data" / "history.json"
EVENTS: list[dict[str, Any]] = json.loads(HISTORY.read_bytes())["events"]
BEGIN = datetime(2025, 4, 5, 8, tzinfo=UTC)

Told = tuple[str, dict[str, Any]]
"""An event's type, as in TIMER_FIRED, and its attributes."""


def spelt(type: str) -> str:
    """A type as it is written in camel case, from TIMER_FIRED."""
    name = "".join(word.capitalize() for word in type.removeprefix("EVENT_TYPE_").split("_"))
    return name[0].lower() + name[1:]


def events_of(*told: Told) -> list[dict[str, Any]]:
    """Events of these types and attributes, a second apart."""
    return [
        {
            "eventId": str(place),
            "eventTime": (BEGIN + timedelta(seconds=place)).isoformat(),
            "eventType": f"EVENT_TYPE_{type}",
            f"{spelt(type)}EventAttributes": attributes,
        }
        for place, (type, attributes) in enumerate(told, 1)
    ]


START: Told = ("WORKFLOW_EXECUTION_STARTED", {"workflowType": {"name": "Stroll"}, "originalExecutionRunId": "stroll"})
DECIDED: tuple[Told, ...] = (
    ("WORKFLOW_TASK_SCHEDULED", {}),
    ("WORKFLOW_TASK_STARTED", {}),
    ("WORKFLOW_TASK_COMPLETED", {}),
)
WALK: Told = (
    "ACTIVITY_TASK_SCHEDULED",
    {"activityId": "walk", "activityType": {"name": "walk"}, "workflowTaskCompletedEventId": "4"},
)  # the fifth event of what begins with START, *DECIDED


def written(path: Path, *told: Told) -> Path:
    """A history of these events."""
    path.write_text(json.dumps({"events": events_of(*told)}))
    return path
