"""Slack's workspace export.

Imports: `ingest.transcripts`, `ingest.sources`, `ingest.records`, `ingest.items`, `ingest.trees`.
Start reading: `ingest.formats.slack.exports`.
"""
