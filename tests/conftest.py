"""Hypothesis profiles for the whole suite; FLOWLEDGER_HYPOTHESIS chooses one. And Postgres, for whoever asks for it."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

from tests.postgres import place_schemas, postgres, postgres_address

__all__ = ["place_schemas", "postgres", "postgres_address"]

# What a shell begins in the background ignores interrupts, and so would every process that a test begins.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("ci", deadline=None, print_blob=True)
settings.register_profile("release", settings.get_profile("ci"), max_examples=5_000)
settings.load_profile(os.environ.get("FLOWLEDGER_HYPOTHESIS", "ci"))
