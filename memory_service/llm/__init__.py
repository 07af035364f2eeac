"""Model servers: the official OpenAI client, one answer for a summary, and the gateway's upstream.

Imports: `core`.
Start reading: `upstream` for the gateway, `chat_model` for summaries, `retries` for how failed
requests are repeated.
"""
