"""Keeps the vector index level with the turn log: indexing, placement, repair, rebuild, erasure.

Imports: `core`, `text`, `turn_log`.
Start reading: `indexer`.
"""
