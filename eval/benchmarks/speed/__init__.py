"""The benchmark of speed: the service over HTTP on loopback, and bare SQLite, numpy and Chroma.

Imports: the shared files of `benchmarks`, and what these import.
Start reading: `command.py`, then `layouts.py` for what is measured.
"""
