"""Recursive summaries, written by a model in the background, of turns that left the recent window.

Imports: `core`, `text`, `tokens`, `items`, `turn_log`, `recall`.
Start reading: `hierarchy` (which turns are summarised next), `worker` (the background threads).
"""
