"""`python -m tollhouse`, the same as the `tollhouse` command."""

from tollhouse.cli import main

main()
