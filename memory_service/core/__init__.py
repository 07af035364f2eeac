"""The values, errors, settings and protocols that every other package shares.

Imports: no other package of the service.
Start reading: `models` for the values, `errors` for the errors, `settings` for the settings.
"""
