"""`tollhouse import`: another gateway's configuration as a policy tree.

`litellm` is the composition; `sources` reads, `writing` writes, `report` tells. What is between
them maps plain data to plain data and knows no file.
"""
