"""Embedders: one file per vendor.

Imports: `core`, `tokens`, `llm`.
Start reading: `opening`, which opens one by name; `checks` for what all of them share.
"""
