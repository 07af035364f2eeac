"""The command `memory-service`, one file a subcommand with more than a few lines.

Imports: every package of the service.
Start reading: `main`.
"""
