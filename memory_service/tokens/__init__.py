"""How many tokens a text, a message or a prompt takes.

Imports: `core`.
Start reading: `counting` for the counters, `encodings` for how one is opened.
"""
