"""Embedders: one file per vendor, and `opening`, which chooses among them."""
