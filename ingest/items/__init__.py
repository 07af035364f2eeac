"""Builds items and messages in OpenAI's shapes, and their fields, for several formats.

Imports: `memory_service.core`, `memory_service.items`.
Start reading: `ingest.items.fields`, then `ingest.items.openai_items`.
"""
