"""OpenAI's conversation items and chat messages, and the JSON that they arrive in.

Imports: `core`.
Start reading: `conversation_items` for what is accepted, `item_text` for what is indexed,
`storable_messages` for what the gateway stores of other shapes, `item_view` for what is returned,
`chat_messages` for what a model is sent.
"""
