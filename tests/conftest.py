"""Hypothesis profiles for the whole suite; FLOWLEDGER_HYPOTHESIS chooses one."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("ci", deadline=None, print_blob=True)
settings.register_profile("release", settings.get_profile("ci"), max_examples=5_000)
settings.load_profile(os.environ.get("FLOWLEDGER_HYPOTHESIS", "ci"))
