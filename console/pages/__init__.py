"""The console at /manage/ui: pages that the server draws, and that need no script to work."""
