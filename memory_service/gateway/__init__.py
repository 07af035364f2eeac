"""Chat completions with a memory: what a client sends goes to the model as a prompt that fits.

Imports: the packages up to `conversations`.
Start reading: `chat_completions`.
"""
