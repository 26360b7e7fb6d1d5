"""`tollhouse status`: which policy each part of a gateway goes by."""
