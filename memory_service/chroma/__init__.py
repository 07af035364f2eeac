"""Vectors in Chroma, in a child process. The only import of chromadb outside the embedders.

Imports: `core`, `subprocesses`.
Start reading: `process` for the parent's side, `supervisor` for how a child is started, replaced
and ended, `index` for what the child does.
"""
