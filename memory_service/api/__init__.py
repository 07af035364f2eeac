"""The HTTP API: routes, OpenAI's error envelope, authentication and limits.

Imports: every package of the service except the adapters and the commands.
Start reading: `app`.
"""
