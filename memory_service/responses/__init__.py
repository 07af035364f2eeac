"""The Responses API with memory, in front of an upstream that has it or only chat completions.

Imports: the packages up to `gateway`.
Start reading: `creation`; then `native` for upstreams with responses, `chat` for all others.
"""
