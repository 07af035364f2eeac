"""A model answers from the prompts, and a model judges its answers."""
