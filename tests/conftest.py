"""What holds for every test."""

from hypothesis import settings

from tollhouse.rpc import core

# As the services do: tests run the server that they share in their own process, too.
core.configure()

# An example that takes long says something of the machine, not of the claim.
settings.register_profile("tollhouse", deadline=None)
settings.load_profile("tollhouse")
