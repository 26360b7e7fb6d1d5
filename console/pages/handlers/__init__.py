"""One module for each part of the console: reads what a page needs, and answers with it."""
