"""Reads exported conversations of other products and stores them in a data folder or a server.

Imports: `memory_service`; its own packages in the order of `tests/project/test_architecture.py`.
Start reading: `ingest.transcripts` (what every format is turned into), then `ingest.pipeline`.
"""
