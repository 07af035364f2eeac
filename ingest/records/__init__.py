"""Reads a member record by record: text lines, JSON lines, elements of a JSON array.

Imports: `ingest.transcripts`, `ingest.sources`.
Start reading: `ingest.records.lines`, then `ingest.records.arrays`.
"""
