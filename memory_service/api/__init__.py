"""HTTP only: routes, OpenAI's error envelope, authentication and limits."""
