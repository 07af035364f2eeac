"""How many tokens a text, a message or a prompt takes; facts about models by name.

Imports: `core`.
Start reading: `counting` for messages and prompts, `encodings` for how a counter is opened,
`estimate` for the count without tiktoken's vocabularies, `media_parts` for images and files.
"""
