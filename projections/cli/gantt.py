"""A timeline as a picture of plain characters: a line for each task, with all of its attempts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from projections.cli.output import safe

if TYPE_CHECKING:
    from projections.timeline import Span, Timeline

WAITS, EXECUTES = ".", "="
ENDS = {"completed": "=", "failed": "x", "interrupted": "!", "cancelled": "c", "running": ">", "waiting": ">"}
"""What an attempt's last place shows, by how it ended."""
LEGEND = ". waits  = executes  x failed  ! interrupted  c cancelled  > goes on  * critical"
_WIDEST_NAME = 24
_NARROWEST = 10


def gantt(timeline: Timeline, width: int) -> Iterator[str]:
    """The lines of the picture, none longer than the width, unless that is too narrow for any picture."""
    tasks: dict[str, list[Span]] = {}
    for span in timeline.attempts:
        tasks.setdefault(span.task_id, []).append(span)
    marks = {task_id: "*" if task_id in timeline.critical_path else " " for task_id in tasks}
    names = {task_id: _cut(safe(task_id)) for task_id in tasks}
    room = max([len("TASK"), *map(len, names.values())])
    columns = max(width - room - len("*   ATTEMPTS  WAITED     RAN  "), _NARROWEST)
    scale = _Scale(timeline, columns)
    ends = f"0s{seconds(timeline.makespan):>{columns - 2}}"
    yield f"  {'TASK':<{room}}  ATTEMPTS  WAITED     RAN  {ends}"
    for task_id, spans in tasks.items():
        waited = sum(span.queue_wait for span in spans)
        ran = sum(span.execution or 0 for span in spans)
        told = f"{len(spans):>8}  {seconds(waited):>6}  {seconds(ran):>6}"
        yield f"{marks[task_id]} {names[task_id]:<{room}}  {told}  {scale.bar(spans)}".rstrip()


class _Scale:
    """Which place of a line a time has. All times are on it, though clocks may have been set back."""

    def __init__(self, timeline: Timeline, columns: int) -> None:
        spans = timeline.attempts
        begins = [timeline.started_at, *(s.started_at for s in spans)]
        self._begin = min((time for time in begins if time is not None), default=timeline.latest_at)
        ends = [timeline.ended_at or timeline.latest_at, *(s.ended_at or s.started_at for s in spans)]
        self._end = max(ends)
        self._columns = columns

    def place(self, time: datetime) -> int:
        """From 0 to the last column."""
        whole = (self._end - self._begin).total_seconds()
        share = (time - self._begin).total_seconds() / whole if whole > 0 else 0
        return min(max(int(share * self._columns), 0), self._columns - 1)

    def bar(self, spans: list[Span]) -> str:
        """The attempts of one task. What comes later is drawn over what was before."""
        line = [" "] * self._columns
        for span in spans:
            started = self.place(span.started_at)
            for place in range(self.place(span.ready_at or span.started_at), started):
                line[place] = WAITS
            ended = max(self.place(span.ended_at or self._end), started)
            executed = self.place(span.waiting_since) if span.waiting_since else ended
            executed = min(max(executed, started), ended)
            line[started:ended] = EXECUTES * (executed - started) + WAITS * (ended - executed)
            line[ended] = ENDS[span.status]
        return "".join(line)


def seconds(amount: float) -> str:
    """A duration in six characters or fewer, up to some years."""
    if amount < 1:
        return f"{round(amount * 1000)}ms"
    if amount < 100:
        return f"{amount:.3g}s"
    minutes, rest = divmod(round(amount), 60)
    if minutes < 100:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 100 else f"{hours // 24}d{hours % 24:02}h"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST_NAME else f"{text[: _WIDEST_NAME - 1]}…"
