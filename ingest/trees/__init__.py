"""Builds the tree of a conversation: branches, missing times, tool groups, runs of items to append.

Imports: `ingest.transcripts`, `ingest.items`.
Start reading: `ingest.trees.builder` for formats of lines, `ingest.trees.tree_items` for graphs.
"""
