"""Data sets: conversations, and questions with the turns that answer them; one file a format.

Imports: `errors`, `console`; of the service only `core`, `text` and `commands.terminal`.
Start reading: `models.py`, then `catalogue.py` for the sets by name.
"""
