"""Moves transcripts from sources to a sink: recognise, read, select, check, prepare, store, report.

Imports: every package of `ingest` except the command.
Start reading: `ingest.pipeline.ingestion`.
"""
