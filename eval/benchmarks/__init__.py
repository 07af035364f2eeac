"""Benchmarks: speed over HTTP, the latency of the gateway, ingestion, and growth.

Imports: `systems`, `metrics`, `datasets` and the packages above them; ingest.
Start reading: `ingest.py`, or `command.py` in the package of a benchmark.
"""
