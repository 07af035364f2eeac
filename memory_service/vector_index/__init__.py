"""Keeps the vector index in sync with the turn log: indexing, placement, repair, rebuild, erasure.

Imports: `core`, `text`, `turn_log`.
Start reading: `indexer`.
"""
