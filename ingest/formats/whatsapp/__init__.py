"""WhatsApp's exported chats.

Imports: `ingest.transcripts`, `ingest.sources`, `ingest.records`, `ingest.items`, `ingest.trees`.
Start reading: `ingest.formats.whatsapp.chats`.
"""
