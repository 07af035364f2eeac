"""Embedders: one file per vendor.

Imports: `core`, `tokens`, `llm`.
Start reading: `opening`, which chooses among them.
"""
