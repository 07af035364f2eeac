"""The benchmark of the gateway: what it adds to the latency of streams, and its memory.

Imports: the shared files of `benchmarks`, and what these import.
Start reading: `command.py`, then `streams.py`.
"""
