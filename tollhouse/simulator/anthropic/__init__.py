"""Anthropic's dialect: messages, count_tokens, errors and headers."""
