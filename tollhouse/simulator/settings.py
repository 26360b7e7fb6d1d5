"""What the simulator is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tollhouse.simulator.quirks import QUIRKS

DEFAULT_MODELS = ("gpt-4o", "gpt-4o-mini", "text-embedding-3-small")
DEFAULT_PROVIDER = "default"


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One provider: where its API begins, its keys (kept out of `repr`), and its quirk by name.

    Raises:
        ValueError: no key where the quirk needs one, an unknown quirk, or a base path that is not
            "" or "/…" without a slash at its end.
    """

    name: str
    keys: tuple[str, ...] = field(repr=False)
    base_path: str
    quirk: str

    def __post_init__(self) -> None:
        if self.quirk not in QUIRKS:
            raise ValueError(f"quirk {self.quirk!r}: known are {', '.join(sorted(QUIRKS))}")
        if QUIRKS[self.quirk].key_headers and not (self.keys and all(self.keys)):
            raise ValueError(f"give {self.name} at least one provider key, and none that is empty")
        if self.base_path and (self.base_path[0] != "/" or self.base_path[-1] == "/"):
            raise ValueError(f"base path {self.base_path!r}: write it like /v1, or leave it empty")


@dataclass(frozen=True, slots=True)
class Settings:
    """How to listen and whom to play.

    `keys` and `base_path` make the provider "default", which takes every path that is no other's;
    without keys there is none. `port` 0 takes a free port. `models` None accepts every model name.
    `record` keeps requests, bodies and keys included, for the control API. `tls_cert` and
    `tls_key`: PEM files.

    Raises:
        ValueError: nobody to play, one of two TLS files, two providers of one name, base path or
            key, or what ProviderSettings refuses.
    """

    keys: tuple[str, ...] = field(default=(), repr=False)
    others: tuple[ProviderSettings, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0
    base_path: str = "/v1"
    models: tuple[str, ...] | None = None
    ready_file: Path | None = None
    record: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key go together")
        _refuse_twins(self.providers)

    @property
    def providers(self) -> tuple[ProviderSettings, ...]:
        """All of them, the default one first."""
        if self.others and not self.keys:
            return self.others
        default = ProviderSettings(DEFAULT_PROVIDER, self.keys, self.base_path, DEFAULT_PROVIDER)
        return (default, *self.others)


def _refuse_twins(providers: tuple[ProviderSettings, ...]) -> None:
    names = [provider.name for provider in providers]
    paths = [provider.base_path for provider in providers]
    keys = [key for provider in providers for key in set(provider.keys)]
    for what, values in (("name", names), ("base path", paths), ("key", keys)):
        if len(set(values)) < len(values):
            raise ValueError(f"two providers have the same {what}")


def read_keys(path: Path) -> tuple[str, ...]:
    """The keys in a file, one a line; blank lines and space around a key do not count.

    Raises:
        OSError: the file cannot be read.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(key for line in lines if (key := line.strip()))


def read_provider(text: str) -> ProviderSettings:
    """A provider from the command line: NAME=KEYFILE[,quirk=…][,base=/path].

    The quirk is the one of that name, else OpenAI's; the base path is /NAME/v1. A provider that
    asks for no key may leave KEYFILE empty.

    Raises:
        ValueError: it is not of that form.
        OSError: the file cannot be read.
    """
    first, *options = text.split(",")
    name, equals, file = first.partition("=")
    pairs = dict(option.partition("=")[::2] for option in options)
    if not (name and equals) or not pairs.keys() <= {"quirk", "base"}:
        raise ValueError(f"--provider {text!r}: write NAME=KEYFILE[,quirk=…][,base=/path]")
    return ProviderSettings(
        name=name,
        keys=read_keys(Path(file)) if file else (),
        base_path=pairs.get("base", f"/{name}/v1"),
        quirk=pairs.get("quirk", name if name in QUIRKS else "openai"),
    )
