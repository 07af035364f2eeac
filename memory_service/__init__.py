"""Conversations without end for any agent: turns kept, the right ones back, prompts that fit."""

__version__ = "0.1.0"
