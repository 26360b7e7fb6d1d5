"""What can go wrong with bundles.

    BundleError
      ├ BundleRefused     a bundle that must not be put in force
      ├ KeyFileError      a file of a signing key or a public key
      ├ StoreUnavailable  Redis does not answer, or cannot write
      └ PublishConflict   another bundle is in force than the publisher meant to replace

No message holds the address of Redis, which may have a password in it.
"""


class BundleError(Exception):
    """The message says what to do."""


class BundleRefused(BundleError):
    """A bundle that must not be put in force."""


class KeyFileError(BundleError):
    """A file of a signing key or a public key cannot be used."""


class StoreUnavailable(BundleError):
    """Redis does not answer, or cannot write. Nothing is known of what it holds."""


class PublishConflict(BundleError):
    """`current` is the serial in force, 0 for none, and not the one that was to be replaced."""

    def __init__(self, current: int, meant: int) -> None:
        self.current = current
        super().__init__(
            f"{_bundle(current)} is in force, not {_bundle(meant)}: nothing was published. "
            "Look at what changed (tollhouse policy list), and publish again."
        )


def _bundle(serial: int) -> str:
    return f"bundle {serial}" if serial else "no bundle"
