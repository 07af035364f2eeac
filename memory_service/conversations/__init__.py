"""Write conversations: append turns, recognise repeated requests, find echoes, delete, export.

Imports: `core`, `text`, `items`, `turn_log`, `prompts`.
Start reading: `writer`.
"""
