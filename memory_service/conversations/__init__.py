"""Writes conversations: storing, deleting, exporting, and detecting recalled text.

Imports: `core`, `text`, `items`, `turn_log`, `prompts`.
Start reading: `writer`.
"""
