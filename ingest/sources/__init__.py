"""Opens files, folders and ZIP archives as named members that are read as streams.

Imports: `memory_service.core`.
Start reading: `ingest.sources.source` (the model), then `ingest.sources.opening`.
"""
