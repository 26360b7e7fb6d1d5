"""The Responses API: platform.openai.com/docs/api-reference/responses."""
