"""Fits the weights of the ranking and the factors of the offline token counter."""
