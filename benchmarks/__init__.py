"""Measures what durability costs: bare floors, this library, and other systems, in turns. See docs/PERFORMANCE.md."""
