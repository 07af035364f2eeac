"""Upstreams, the servers of models: what they refuse, and how they count tokens.

Imports: the packages up to `llm`.
Start reading: `refusals`.
"""
