"""What stands behind an alias: what is compiled, and one minimal bad policy for each message."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.policy import KEY_ID, team, write_tree
from tests.unit.policy.test_policy_problems import Bad
from tollhouse.endpoints import CHECKED, COUNT_TOKENS, RESPONSE_BY_ID, UNCHECKED
from tollhouse.money import NANO_PER_USD, Price
from tollhouse.policy.compiled import Alias
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.ordering import Patience, patience_of, targets
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.selectors import Selectors

PROVIDERS = """\
providers:
  openai:
    {dialect: openai, base_url: "https://a.test/v1", api_key: "${A}", idle_timeout_seconds: 300}
  azure:
    dialect: openai
    base_url: https://b.test/v1
    api_key: ${B}
    max_tokens_field: max_tokens
    stream_usage: always
  claude: {dialect: anthropic, base_url: "https://c.test/v1", api_key: "${C}"}
"""


def models(*lines: str) -> str:
    return "models:\n" + "".join(f"  {line}\n" for line in lines)


def deployments(*each: str) -> str:
    return f"deployments: [{', '.join(f'{{{one}}}' for one in each)}]"


OPENAI, CLAUDE = "provider: openai, model: m", "provider: claude, model: m"
MISSING = [
    Bad(
        "models",
        models("small: {provider: openai}"),
        "models.yaml:2:10: the field 'model' is missing",
    ),
    Bad("models", models("small: {model: m}"), "models.yaml:2:10: the field 'provider' is missing"),
    Bad(
        "models",
        models("small: {endpoints: [files]}"),
        "models.yaml:2:10: the field 'provider' is missing",
    ),
    Bad(
        "models",
        models(f"small: {{{deployments('provider: openai')}}}"),
        "models.yaml:2:25: the field 'model' is missing",
    ),
    Bad(
        "models",
        models("small: {deployments: []}"),
        "models.yaml:2:24: 'deployments' is empty: write at least one",
    ),
    Bad(
        "models",
        models(f"small: {{{deployments(*[OPENAI] * 9)}}}"),
        "models.yaml:2:24: 'deployments' has too many: write at most 8",
    ),
]
UNFITTING = [
    Bad(
        "models",
        models(f"small: {{{deployments(OPENAI)}, model: m}}"),
        "models.yaml:2:63: 'model' is for one deployment: write it under 'deployments', or alone",
    ),
    Bad(
        "models",
        models(f"small: {{{deployments(OPENAI)}, provider: openai}}"),
        "models.yaml:2:66: 'provider' is for one deployment: write it under 'deployments', or "
        "alone",
    ),
    Bad(
        "models",
        models(f"small: {{{deployments('provider: opnai, model: m')}}}"),
        "models.yaml:2:36: unknown provider 'opnai': did you mean 'openai'?",
    ),
    Bad(
        "models",
        models(f"small: {{{OPENAI}, fallbacks: [small]}}"),
        "models.yaml:2:51: 'small' is asked before: remove it here",
    ),
    Bad(
        "models",
        models(f"small: {{{OPENAI}, fallbacks: [other, other]}}", f"other: {{{OPENAI}}}"),
        "models.yaml:2:58: 'other' is asked before: remove it here",
    ),
    Bad(
        "models",
        models(f"small: {{{OPENAI}, fallbacks: [smal]}}"),
        "models.yaml:2:51: unknown model 'smal': did you mean 'small'?",
    ),
    Bad(
        "models",
        models(f"small: {{{OPENAI}, endpoints: [chat/completions, messages]}}"),
        "models.yaml:2:3: nothing behind 'small' serves messages: it needs a provider of dialect "
        "anthropic",
    ),
    Bad(
        "models",
        models(f"small: {{{CLAUDE}, endpoints: [messages, embeddings]}}"),
        "models.yaml:2:3: nothing behind 'small' serves embeddings: it needs a provider of dialect "
        "openai",
    ),
    Bad(
        "models",
        models(f"small: {{{deployments(OPENAI, CLAUDE)}, endpoints: [chat/completions]}}"),
        "models.yaml:2:55: a provider of dialect anthropic serves none of chat/completions",
    ),
    Bad(
        "models",
        models(f"small: {{{OPENAI}, endpoints: [files, chat/completions]}}"),
        "models.yaml:2:50: files cannot be checked for a model: give them a name of their own, "
        "without other endpoints",
    ),
    Bad(
        "models",
        models(f"small: {{{deployments(OPENAI, OPENAI)}, endpoints: [files]}}"),
        "models.yaml:2:24: what is stored lives at one provider: name one for these endpoints",
    ),
]
RANGES = [
    Bad(
        "models",
        models(f"small: {{{deployments(OPENAI + ', weight: 0')}}}"),
        "models.yaml:2:62: 'weight' must be at least 1",
    ),
    Bad(
        "models",
        models(f"small: {{{deployments(OPENAI + ', order: 101')}}}"),
        "models.yaml:2:61: 'order' must be at most 100",
    ),
    Bad(
        "models",
        models(f"small: {{{OPENAI}, fallback_after_seconds: 0}}"),
        "models.yaml:2:63: 'fallback_after_seconds' must be more than 0",
    ),
    Bad(
        "models",
        models(f"small: {{{OPENAI}, fallbacks: [a, b, c, d, e]}}"),
        "models.yaml:2:50: 'fallbacks' has too many: write at most 4",
    ),
]


@pytest.mark.parametrize("bad", MISSING + UNFITTING + RANGES, ids=lambda bad: bad.problem)
def test_a_bad_model_is_named_by_place_and_reason(bad: Bad, tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        load_snapshot(write_tree(tmp_path, providers=PROVIDERS, models=bad.text))
    assert str(caught.value) == bad.problem


def alias(tmp_path: Path, line: str) -> Alias:
    text = models(f"small: {{{line}}}")
    return load_snapshot(write_tree(tmp_path, providers=PROVIDERS, models=text)).aliases["small"]


@pytest.mark.parametrize(
    ("line", "endpoints"),
    [
        (OPENAI, {"chat/completions"}),
        (CLAUDE, {"messages"}),
        (deployments(OPENAI, CLAUDE), {"chat/completions", "messages"}),
        (f"{OPENAI}, endpoints: [embeddings]", {"embeddings"}),
    ],
)
def test_by_default_an_alias_serves_what_its_providers_dialects_are_for(
    line: str, endpoints: set[str], tmp_path: Path
) -> None:
    assert alias(tmp_path, line).endpoints == endpoints


@pytest.mark.parametrize("endpoint", sorted(CHECKED - {"messages"}))
def test_a_provider_of_openai_s_dialect_may_serve_any_endpoint_but_messages(
    endpoint: str, tmp_path: Path
) -> None:
    found = alias(tmp_path, f"{OPENAI}, endpoints: [{endpoint}]")
    assert found.serves(endpoint)
    assert found.deployments_for(endpoint) == found.deployments


def test_messages_bring_their_count_of_tokens_and_responses_those_by_id(tmp_path: Path) -> None:
    claude = alias(tmp_path, CLAUDE)
    assert claude.serves(COUNT_TOKENS)
    assert not claude.serves(RESPONSE_BY_ID)
    responses = alias(tmp_path, f"{OPENAI}, endpoints: [responses]")
    assert responses.serves(RESPONSE_BY_ID)
    assert not responses.serves(COUNT_TOKENS)


@pytest.mark.parametrize("endpoint", sorted(UNCHECKED))
def test_an_unchecked_endpoint_needs_no_model(endpoint: str, tmp_path: Path) -> None:
    found = alias(tmp_path, f"provider: openai, endpoints: [{endpoint}]")
    assert found.endpoints == {endpoint}
    assert found.first.provider == "openai"


ALIAS_PRICE = "price: {input_per_million: 5, output_per_million: 7}"
OWN_PRICE = "price: {input_per_million: 2, output_per_million: 3}"
TWO = deployments(
    f"provider: azure, model: a, weight: 3, order: 2, {OWN_PRICE}", "provider: openai, model: b"
)


def test_deployments_are_compiled_in_the_order_of_the_file_each_with_its_provider_s_ways(
    tmp_path: Path,
) -> None:
    azure, openai = alias(tmp_path, f"{TWO}, {ALIAS_PRICE}").deployments
    assert (azure.provider, azure.model, azure.weight, azure.order) == ("azure", "a", 3, 2)
    assert (azure.max_tokens_field, azure.stream_usage) == ("max_tokens", "always")
    assert (openai.provider, openai.model, openai.weight, openai.order) == ("openai", "b", 1, 1)
    assert (openai.max_tokens_field, openai.stream_usage) == ("max_completion_tokens", "requested")


def test_a_deployment_costs_its_own_price_else_that_of_its_alias(tmp_path: Path) -> None:
    azure, openai = alias(tmp_path, f"{TWO}, {ALIAS_PRICE}").deployments
    assert azure.price == Price(*(n * NANO_PER_USD for n in (2, 3, 2)))
    assert openai.price == Price(*(n * NANO_PER_USD for n in (5, 7, 5)))
    assert azure.price_source == openai.price_source == "policy"


def test_the_first_deployment_is_the_first_named_of_the_lowest_order(tmp_path: Path) -> None:
    found = alias(tmp_path, f"{TWO}, {ALIAS_PRICE}")
    assert found.first is found.deployments[1]
    assert found.is_priced


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (OPENAI, "openai/m"),
        (TWO, "openai/b, then azure/a"),
        (
            deployments(OPENAI + ", weight: 3", "provider: azure, model: n")
            + ", fallbacks: [other]",
            "openai/m (3 of 4), azure/n (1 of 4), then model other",
        ),
    ],
)
def test_what_is_asked_is_told_in_words(line: str, words: str, tmp_path: Path) -> None:
    text = models(f"small: {{{line}}}", f"other: {{{OPENAI}}}")
    snapshot = load_snapshot(write_tree(tmp_path, providers=PROVIDERS, models=text))
    assert targets(snapshot.aliases["small"]) == words


@pytest.mark.parametrize(
    ("line", "patience"),
    [
        (OPENAI, Patience(300, 300)),
        # The shortest of the chain, fallbacks included; an answer that has begun, the longest.
        (f"{OPENAI}, fallbacks: [other]", Patience(300, 600)),
        (f"{OPENAI}, fallbacks: [other], fallback_after_seconds: 2.5", Patience(2.5, 600)),
    ],
)
def test_the_next_is_asked_after_what_the_alias_says_or_the_shortest_of_its_providers(
    line: str, patience: Patience, tmp_path: Path
) -> None:
    text = models(f"small: {{{line}}}", "other: {provider: azure, model: m}")
    snapshot = load_snapshot(write_tree(tmp_path, providers=PROVIDERS, models=text))
    assert patience_of(snapshot, snapshot.aliases["small"]) == patience


# Endpoints that cannot be checked are allowed by name only.

NAMED_ONLY = Selectors({"gpt4": ["open"], "up": ["open"], "up-2": []}, named_only={"up", "up-2"})
NAMED_ONLY.name_group("both", {"gpt4", "up"})


@pytest.mark.parametrize("entry", ["*", "u*", "up?2", "tag:open", "group:both"])
def test_no_tag_pattern_or_group_allows_what_is_allowed_by_name_only(entry: str) -> None:
    assert NAMED_ONLY.allow(entry) == NAMED_ONLY.select(entry) - {"up", "up-2"}
    assert NAMED_ONLY.select(entry) & {"up", "up-2"}


def test_its_name_allows_it_and_no_other() -> None:
    assert NAMED_ONLY.allow("up") == {"up"}
    assert NAMED_ONLY.allow("gpt4") == {"gpt4"}


UPLOADS = (
    models(
        f"small: {{{OPENAI}, tags: [open]}}",
        "uploads: {provider: openai, endpoints: [files], tags: [open]}",
    )
    + "groups: {opened: [uploads], allowed_models: ['up*']}\n"
)


@pytest.mark.parametrize(
    ("rules", "models_of_key"),
    [
        (team("allowed_models: [uploads]"), set()),
        (team().replace("[small]", "[small, uploads]"), {"small", "uploads"}),
        (team('allowed_models: ["*"]').replace("[small]", "[uploads]"), set()),
        (team().replace("[small]", '["*"]'), {"small"}),
        (team().replace("[small]", '["group:opened", small]'), {"small"}),
        *(
            (team(f"denied_models: ['{entry}']").replace("[small]", "[small, uploads]"), left)
            for entry, left in (
                ("uploads", {"small"}),
                ("up*", {"small"}),
                ("group:opened", {"small"}),
                ("group:allowed_models", {"small"}),
                ("tag:open", set()),
                ("*", set()),
            )
        ),
    ],
)
def test_each_level_that_narrows_has_to_name_it_and_any_deny_takes_it_away(
    rules: str, models_of_key: set[str], tmp_path: Path
) -> None:
    tree = write_tree(tmp_path, providers=PROVIDERS, models=UPLOADS, teams__web=rules)
    assert load_snapshot(tree).keys[KEY_ID].models == models_of_key
