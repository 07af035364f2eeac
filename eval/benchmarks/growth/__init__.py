"""The benchmark of growth: recall and time while the number of other turns grows.

Imports: the shared files of `benchmarks`, and what these import.
Start reading: `command.py`, then `stores.py` and `asking.py`.
"""
