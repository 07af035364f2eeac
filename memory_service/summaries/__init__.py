"""Recursive summaries, written by a model in the background, of turns that left the recent window.

Imports: `core`, `text`, `tokens`, `items`, `turn_log`, `recall`.
Start reading: `hierarchy` for which turns are summarised next, `worker` for what does it.
"""
