"""ChatGPT's data export.

Imports: `ingest.transcripts`, `ingest.sources`, `ingest.records`, `ingest.items`, `ingest.trees`.
Start reading: `ingest.formats.chatgpt.exports`.
"""
