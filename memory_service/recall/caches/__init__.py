"""Caches of recall: vectors, active branches and token arrays, each bounded in bytes.

Imports: `core`, `text`, `turn_log`, and the pure modules of `recall`.
Start reading: `conversation_cache`, which the caches of vectors and branches share.
"""
