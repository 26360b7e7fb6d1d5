"""OpenAI's dialect: its endpoints, errors and headers."""
