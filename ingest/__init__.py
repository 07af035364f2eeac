"""Reading old transcripts into the service."""
