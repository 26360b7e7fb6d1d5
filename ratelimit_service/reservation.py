"""What one request may cost at most: the bound that is reserved before it is sent.

docs/reservation.md gives each item with its reason and source.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tollhouse import endpoints
from tollhouse.money import Usage
from tollhouse.policy.compiled import Alias, Org, Scope


@dataclass(frozen=True, slots=True)
class RequestSize:
    """What request.lua read in the body.

    `text_bytes` is the body without its media; `max_tokens` what the client asked for, None where
    it did not; `n` the number of choices. `unbounded` names a parameter that can cost more than
    any count of tokens says, None where there is none; it is from a fixed list, never client text.
    """

    endpoint: str
    text_bytes: int
    media_parts: int
    max_tokens: int | None
    n: int
    tools: bool = False
    prediction: bool = False
    unbounded: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call that asks to be admitted.

    `request_id` is Envoy's own, never the client's; empty where Envoy gave none. `policy_version`
    is that of the policy by which authz_service granted it.
    """

    key_id: str
    alias: str
    size: RequestSize
    request_id: str = ""
    policy_version: str = ""


def worst_case(size: RequestSize, alias: Alias, org: Org) -> Usage:
    """The most tokens this request can use, as if nothing were cached."""
    if size.endpoint != endpoints.CHAT:
        # The context window bounds each text of an embeddings call, not their sum.
        return Usage(_input_bound(size, alias), 0)
    input_tokens = _input_bound(size, alias)
    if alias.max_input_tokens is not None:
        input_tokens = min(input_tokens, alias.max_input_tokens)
    # OpenAI bills what it rejects of a prediction as output, beyond the cap.
    rejected = size.text_bytes + _bytes(alias) if _has(size.prediction, alias, "prediction") else 0
    return Usage(input_tokens, (output_limit(size.max_tokens, alias, org) + rejected) * size.n)


def empty_call(alias: Alias, org: Org) -> Usage:
    """What a call without a body would reserve: what every call reserves beside its body."""
    endpoint = endpoints.CHAT if endpoints.CHAT in alias.endpoints else endpoints.EMBEDDINGS
    size = RequestSize(endpoint, text_bytes=0, media_parts=0, max_tokens=None, n=1)
    return worst_case(size, alias, org)


def _input_bound(size: RequestSize, alias: Alias) -> int:
    tools = _has(size.tools, alias, "tools", "functions")
    return (
        size.text_bytes
        + _bytes(alias)
        + size.media_parts * alias.max_tokens_per_media
        + (alias.max_tokens_for_tools if tools else 0)
    )


def _has(told: bool, alias: Alias, *names: str) -> bool:
    """Whether the body that is sent has such a parameter: the client's, or a default."""
    return told or any(name in alias.defaults for name in names)


def _bytes(alias: Alias) -> int:
    """Bytes that the alias's defaults add to a body at most: `,"name":value` each."""
    return sum(len(name) + len(text.encode()) + 4 for name, text in alias.defaults.items())


def output_limit(asked: int | None, alias: Alias, org: Org) -> int:
    """Output tokens a choice may have: the same rule by which splice.lua writes the body."""
    if asked is None:
        return alias.max_output_tokens or org.default_max_output_tokens
    return asked if alias.max_output_tokens is None else min(asked, alias.max_output_tokens)


@dataclass(frozen=True, slots=True)
class NotCovered:
    """A parameter whose cost nothing bounds, and the hard budget that may not be exceeded."""

    parameter: str
    scope: Scope

    @property
    def message(self) -> str:
        """For the caller: what stands in the way, and what to do."""
        return (
            f"`{self.parameter}` can cost more than the tokens of the call, and the budget of "
            f"{self.scope.where} is a hard one. Leave the parameter out, or ask "
            f"{self.scope.owner or 'the gateway operator'} for a soft budget there."
        )


def not_covered(size: RequestSize, scopes: Iterable[Scope]) -> NotCovered | None:
    """Why the call is to be refused with `parameter_not_allowed`, None where it is not.

    `scopes` are all that it counts in (`Snapshot.scopes`); the first with a hard budget is named.
    """
    if size.unbounded is None:
        return None
    hard = (each for each in scopes if each.limits.has_budget and each.limits.budget_mode == "hard")
    scope = next(hard, None)
    return NotCovered(size.unbounded, scope) if scope else None
