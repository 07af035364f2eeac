"""Embedders: one file per vendor."""
