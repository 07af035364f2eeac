"""What a service is composed of: the data folder, the embedder and models that settings name.

Imports: `core`, the adapters, `turn_log`, `text`.
Start reading: `data_folder`; `memory_service.service` puts the parts together.
"""
