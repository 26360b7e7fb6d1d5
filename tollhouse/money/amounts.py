"""Amounts of money as exact integers.

One nano-dollar is 1e-9 USD. Amounts are integer nano-dollars, prices integer nano-dollars per
million tokens: $0.15 per million tokens is 150_000_000. Floats and decimals exist only where
people write or read them.
"""

from decimal import Clamped, Context, Decimal, Inexact, InvalidOperation, Overflow, Underflow

NANO_PER_USD = 1_000_000_000

_DECIMALS = 9
# Bounds and traps make the conversion exact or an error, also for exponents that would not fit
# in memory once written out.
_EXACT = Context(
    prec=40,
    Emin=-40,
    Emax=30,
    traps=[Clamped, Inexact, InvalidOperation, Overflow, Underflow],
)


def usd_to_nano(usd: Decimal | str | int | float) -> int:
    """USD to nano-dollars, exactly.

    A float means the shortest decimal that reads back as that float: 0.1 is a tenth.

    Raises:
        ValueError: not a finite number >= 0, or finer than a nano-dollar (nine decimals).
    """
    try:
        amount = Decimal(repr(usd) if isinstance(usd, float) else usd)
        if not amount.is_finite() or amount < 0:
            raise ValueError(f"{usd} is not an amount of money: write a number of USD, 0 or more")
        return int(amount.scaleb(_DECIMALS, _EXACT).to_integral_exact(context=_EXACT))
    except ArithmeticError as error:
        raise ValueError(f"{usd} USD is not a whole number of nano-dollars") from error


def nano_per_million(usd: Decimal | str | int | float) -> int:
    """A price in USD per million tokens to nano-dollars per million tokens, exactly.

    Raises:
        ValueError: as `usd_to_nano`.
    """
    return usd_to_nano(usd)


def nano_to_usd(nano: int) -> str:
    """Nano-dollars as a plain decimal number of USD, exact, no trailing zeros: "0.15", "2"."""
    sign = "-" if nano < 0 else ""
    whole, fraction = divmod(abs(nano), NANO_PER_USD)
    digits = f"{fraction:0{_DECIMALS}d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def nano_to_decimal(nano: int) -> Decimal:
    """Nano-dollars as USD, exactly."""
    return Decimal(nano_to_usd(nano))


def format_usd(nano: int) -> str:
    """Nano-dollars for people: exact, at least two decimals, thousands apart: "$1,234.50"."""
    sign = "-" if nano < 0 else ""
    whole, fraction = divmod(abs(nano), NANO_PER_USD)
    digits = f"{fraction:0{_DECIMALS}d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole:,}.{digits}"
