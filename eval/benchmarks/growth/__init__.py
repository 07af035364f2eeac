"""The benchmark of growth: recall and time while other turns pile up around those that answer.

Imports: the shared files of `benchmarks`, and what these import.
Start reading: `command.py`, then `stores.py` and `asking.py`.
"""
