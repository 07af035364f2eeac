"""Identity: who sent a request, in which conversation, and whether it is conversation at all.

Imports: `core`, `items`.
Start reading: `identify`; `data/clients.toml` for what known clients send.
"""
