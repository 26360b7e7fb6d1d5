"""`tollhouse prices`: what each alias costs, and where that is written."""
