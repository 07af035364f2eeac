"""The benchmark of recent windows: evidence, reusable tokens and cost for sizes of prompts.

Imports: the shared files of `benchmarks`, and what these import.
Start reading: `command.py`, then `reuse.py`.
"""
