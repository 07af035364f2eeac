"""Benchmarks: speed over HTTP, the gateway, ingestion, growth."""
