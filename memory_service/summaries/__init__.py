"""Recursive summaries of the turns that left the recent window.

Imports: `core`, `text`, `tokens`, `items`, `turn_log`.
Start reading: `hierarchy` for what is summarised next, `worker` for who does it.
"""
