"""What holds for every test."""

from hypothesis import settings

# An example that takes long says something of the machine, not of the claim.
settings.register_profile("tollhouse", deadline=None)
settings.load_profile("tollhouse")
