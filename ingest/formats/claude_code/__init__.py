"""Claude Code's session files.

Imports: `ingest.transcripts`, `ingest.sources`, `ingest.records`, `ingest.items`, `ingest.trees`.
Start reading: `ingest.formats.claude_code.sessions`.
"""
