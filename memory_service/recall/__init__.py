"""The turns of a scope that a query is about: query, candidates, features, scores, hits.

Imports: `core`, `text`, `dates`, `turn_log`.
Start reading: `recaller`, which runs the stages in order; a module is a stage, or a step of one.
"""
