"""The turns of a scope that a query is about: candidates, features, scores, hits.

Imports: `core`, `text`, `dates`, `turn_log`.
Start reading: `recaller`, which runs the stages in order.
"""
