"""The pictures of docs/console.md, taken of a real console in a real browser: make screenshots."""
