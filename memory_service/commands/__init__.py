"""The command `memory-service`: one file for each subcommand, and what they share.

Imports: every package of the service.
Start reading: `main`.
"""
