"""A LiteLLM installation moves over: its config, its keys, and applications that notice nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.support.gateway import Gateway, running
from tests.support.litellm import FIXTURES
from tests.unit.test_cli import tollhouse

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello"}]
# The keys that LiteLLM gave to its applications; the export holds their hashes.
WEBSITE = "sk-acmeWebsiteProd0000000001"
SHARED = "sk-acmeMarketingAll000000002"
NOTEBOOKS = "sk-acmeResearchCheap00000003"
BLOCKED = "sk-acmeResearchBlocked000004"
EXPIRED = "sk-acmePlatformExpired000005"
EVERYTHING = "sk-acmePlatformEverything006"
NO_TEAM = "sk-acmeNoTeam00000000000007"


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    root = tmp_path_factory.mktemp("moved")
    files = (str(FIXTURES / "config.yaml"), "--keys", str(FIXTURES / "keys.json"))
    shown = tollhouse("import", "litellm", *files, "--out", "policies", cwd=root)
    assert shown.returncode == 0, shown.stderr
    assert tollhouse("check", "policies", cwd=root).returncode == 0
    print(f"\n{shown.stdout.splitlines()[0]}")
    with running(root / "policies", root / "run") as gateway:
        yield gateway


def client(gateway: Gateway, key: str) -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url=f"{gateway.endpoint}/v1", max_retries=0)


def test_the_export_holds_hashes_and_no_key_but_one() -> None:
    text = (FIXTURES / "keys.json").read_text()
    for key in (WEBSITE, SHARED, NOTEBOOKS, BLOCKED, EXPIRED, EVERYTHING):
        assert key not in text and hashlib.sha256(key.encode()).hexdigest() in text
    assert NO_TEAM in text


@pytest.mark.parametrize(
    ("key", "models"),
    [
        (WEBSITE, {"gpt-4o-mini", "text-embedding-3-small"}),
        (
            SHARED,
            {
                *("gpt-4o", "gpt-4", "gpt-4.1", "gpt-4o-mini"),
                *("claude-sonnet", "claude", "text-embedding-3-small"),
            },
        ),
        (
            NOTEBOOKS,
            {"gpt-4o-mini", "claude-haiku", "mistral-small", "local-llama", "groq/llama-3.3-70b"},
        ),
        (NO_TEAM, {"gpt-4", "claude-sonnet", "claude"}),
    ],
)
def test_a_litellm_key_lists_the_models_that_it_could_call(
    moved: Gateway, key: str, models: set[str]
) -> None:
    assert {model.id for model in client(moved, key).models.list()} == models


def test_a_key_for_everything_gets_an_answer_from_every_model(moved: Gateway) -> None:
    everything = client(moved, EVERYTHING)
    names = [model.id for model in everything.models.list()]
    assert len(names) == 22
    for name in names:
        if "embed" in name:
            assert everything.embeddings.create(model=name, input="Say hello").data
        else:
            answer = everything.chat.completions.create(model=name, messages=HELLO)
            assert answer.choices[0].message.content


def test_the_provider_gets_its_own_model_name_and_the_defaults(moved: Gateway) -> None:
    moved.forget()
    client(moved, WEBSITE).chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    [request] = moved.received()
    assert request.provider_key_ok
    assert b'"model":"gpt-4o-mini"' in request.body.replace(b" ", b"")
    assert b'"temperature":0.2' in request.body


@pytest.mark.parametrize(
    ("key", "model"),
    [(WEBSITE, "gpt-4o"), (SHARED, "o3-mini"), (NOTEBOOKS, "gpt-4o"), (NO_TEAM, "gpt-4o")],
)
def test_a_litellm_key_is_refused_what_it_was_refused(moved: Gateway, key: str, model: str) -> None:
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client(moved, key).chat.completions.create(model=model, messages=HELLO)
    assert refused.value.code == "model_not_allowed"


def test_what_was_not_carried_is_not_found(moved: Gateway) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client(moved, EVERYTHING).chat.completions.create(model="bedrock-claude", messages=HELLO)
    assert refused.value.code == "model_not_found"


def test_a_blocked_key_stays_blocked(moved: Gateway) -> None:
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client(moved, BLOCKED).chat.completions.create(model="gpt-4o", messages=HELLO)
    assert refused.value.code == "key_blocked"


def test_an_expired_key_stays_expired(moved: Gateway) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        client(moved, EXPIRED).chat.completions.create(model="gpt-4o", messages=HELLO)
    assert refused.value.code == "key_expired"


@pytest.mark.parametrize("key", ["sk-masterKeyOfTheProxy1234", "sk-acmeUnknown"])
def test_the_master_key_and_others_are_unknown(moved: Gateway, key: str) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        client(moved, key).chat.completions.create(model="gpt-4o", messages=HELLO)
    assert refused.value.code == "invalid_api_key"
