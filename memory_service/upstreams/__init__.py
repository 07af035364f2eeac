"""Upstreams, the servers of models: which serves a model, and what is learned of it.

Imports: the packages up to `llm`.
Start reading: `table` for the choice of an upstream, `windows` and `learner` for what is learned.
"""
