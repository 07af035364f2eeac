"""Upstreams, the servers of models: which serves a model, what they refuse, how they count tokens.

Imports: the packages up to `llm`.
Start reading: `table`.
"""
