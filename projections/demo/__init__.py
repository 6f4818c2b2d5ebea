"""The demonstration: a real workflow that is killed half way and goes on.

`runner` drives a workflow through a store, and is meant to be copied; `analysis` is the workflow; `show` tells the
story; `python -m projections.demo` is the process that gets killed.
"""
