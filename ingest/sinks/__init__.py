"""Stores checked transcripts: in a local data folder, in a server, or nowhere (dry run).

Imports: `ingest.transcripts`, `ingest.trees`, `memory_service`.
Start reading: `ingest.sinks.sink` (the protocol), then `ingest.sinks.storing`.
"""
