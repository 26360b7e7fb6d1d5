"""What the ledger raises.

LedgerError
├── LedgerUnavailable   the store cannot answer now: down, slow, loading, read-only, out of memory
│   └── LedgerMoving    a cluster is moving the slot to another master
└── LedgerClockError    the store's clock is more than a day from the caller's

No message carries a key, an amount or a reservation id.
"""


class LedgerError(Exception):
    """The store answered, but not with what the ledger's scripts return."""


class LedgerUnavailable(LedgerError):
    """The store did not answer in time, or cannot serve writes. What was asked may have been done.

    After a failed `admit` the reservation may exist: `withdraw` or `settle` it, or leave it to its
    lease. Every call but `admit` may simply be repeated, and so may `admit` with the same id.
    """


class LedgerMoving(LedgerUnavailable):
    """A cluster is moving this slot to another master: nothing was done, others are well."""


class LedgerClockError(LedgerError):
    """The store's clock and the caller's clock are more than a day apart."""
