"""Several providers in one process: paths, keys, leaks, faults, TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from tests.simulator.simulator_process import HELLO, KEY, Simulator, running
from tests.simulator.test_simulator_process import refused
from tollhouse.simulator.settings import ProviderSettings, Settings, read_provider

KEYS = {
    "openai": "sk-openai-simulated-0001",
    "azure": "azure-simulated-0002",
    "anthropic": "sk-ant-simulated-0003",
}


def options(directory: Path) -> Iterator[str]:
    for name, key in KEYS.items():
        (directory / name).write_text(key)
        yield from ("--provider", f"{name}={directory / name}")
    yield from ("--provider", "ollama=", "--provider", f"spare={directory / 'spare'},base=/spare")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    directory = tmp_path_factory.mktemp("providers")
    (directory / "spare").write_text("spare-simulated-0004")
    with running(directory, "--record", *options(directory), default=False) as simulator:
        yield simulator


@pytest.fixture
def providers(process: Simulator) -> Simulator:
    for book in ("requests", "exchanges", "bill", "faults", "leaks"):
        process.http.delete(f"/_simulator/{book}").raise_for_status()
    return process


def chat(
    providers: Simulator, path: str, headers: dict[str, str], body: Any = HELLO
) -> httpx.Response:
    return providers.http.post(path, json=body, headers=headers)


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name]}"}


MESSAGE = {"anthropic-version": "2023-06-01"}
HELLO_CLAUDE = HELLO | {"max_tokens": 5}


def test_each_provider_answers_at_its_own_path_with_its_own_key(providers):
    assert chat(providers, "/openai/v1/chat/completions", bearer("openai")).status_code == 200
    azure = chat(providers, "/azure/v1/chat/completions", {"api-key": KEYS["azure"]})
    assert azure.status_code == 200
    claude = MESSAGE | {"x-api-key": KEYS["anthropic"]}
    assert chat(providers, "/anthropic/v1/messages", claude, HELLO_CLAUDE).status_code == 200
    assert chat(providers, "/ollama/v1/chat/completions", {}).status_code == 200
    spare = {"authorization": "Bearer spare-simulated-0004"}
    assert chat(providers, "/spare/chat/completions", spare).status_code == 200
    seen = [exchange["provider"] for exchange in providers.control("exchanges")]
    assert seen == ["openai", "azure", "anthropic", "ollama", "spare"]
    assert [record["provider"] for record in providers.control("requests")] == seen
    by_provider = providers.control("bill")["by_provider"]
    assert {name: line["gpt-4o-mini"]["output_tokens"] for name, line in by_provider.items()} == {
        "openai": 12,
        "azure": 12,
        "anthropic": 5,
        "ollama": 12,
        "spare": 12,
    }
    assert providers.control("leaks") == []


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/openai/v1/chat/completions", {"api-key": KEYS["openai"]}),
        ("/openai/v1/chat/completions", {"x-api-key": KEYS["openai"]}),
        ("/azure/v1/chat/completions", {"authorization": f"Bearer {KEYS['azure']}"}),
        ("/anthropic/v1/messages", MESSAGE | {"api-key": KEYS["anthropic"]}),
    ],
)
def test_a_key_in_another_providers_header_is_no_key(providers, path, headers):
    assert chat(providers, path, headers).status_code == 401
    assert providers.control("leaks") == []


def leak(key_of: str, reached: str | None, where: str, path: str) -> dict[str, Any]:
    return {"key_of": key_of, "reached": reached, "where": where, "method": "POST", "path": path}


@pytest.mark.parametrize(
    ("headers", "query", "body", "where"),
    [
        ({"authorization": f"Bearer {KEYS['azure']}"}, "", HELLO, "header authorization"),
        (bearer("openai") | {"api-key": KEYS["azure"]}, "", HELLO, "header api-key"),
        (bearer("openai") | {"x-any": f"a{KEYS['azure']}b"}, "", HELLO, "header x-any"),
        (bearer("openai"), f"?k={KEYS['azure'].replace('-', '%2D')}", HELLO, "query"),
        (bearer("openai"), "", HELLO | {"user": KEYS["azure"]}, "body"),
    ],
)
def test_another_providers_key_is_a_leak_wherever_it_is(providers, headers, query, body, where):
    path = "/openai/v1/chat/completions"
    chat(providers, path + query, headers, body)
    leaks = providers.http.get("/_simulator/leaks")
    assert leaks.json() == [leak("azure", "openai", where, path)]
    assert not any(key in leaks.text for key in KEYS.values())
    providers.http.delete("/_simulator/leaks")
    assert providers.control("leaks") == []


def test_a_key_in_the_path_is_a_leak_that_does_not_show_it(providers):
    chat(providers, f"/openai/v1/{KEYS['azure']}", bearer("openai"))
    leaks = providers.http.get("/_simulator/leaks")
    assert [found["where"] for found in leaks.json()] == ["path"]
    assert KEYS["azure"] not in leaks.text


def test_a_key_at_nobodys_path_is_a_leak_to_nobody(providers):
    answer = chat(providers, "/v1/chat/completions", bearer("openai"))
    assert answer.status_code == 404
    expected = leak("openai", None, "header authorization", "/v1/chat/completions")
    assert providers.control("leaks") == [expected]
    assert providers.last_record()["provider"] is None


def test_a_fault_can_be_one_providers_alone(providers):
    def set_fault(**fault: Any) -> httpx.Response:
        return providers.http.put("/_simulator/faults", json=fault)

    def statuses() -> list[int]:
        first = chat(providers, "/openai/v1/chat/completions", bearer("openai"))
        second = chat(providers, "/ollama/v1/chat/completions", {})
        return [first.status_code, second.status_code]

    fault = {"x-simulate": "status=429", "times": 2, "provider": "openai"}
    assert set_fault(**fault).json() == fault
    assert statuses() == [429, 200]
    set_fault(**{"x-simulate": "status=500"})
    assert statuses() == [429, 500]
    assert statuses() == [200, 500]
    providers.http.delete("/_simulator/faults?provider=openai")
    assert statuses() == [500, 500]
    providers.http.delete("/_simulator/faults")
    assert statuses() == [200, 200]
    refusal = set_fault(**fault | {"provider": "nobody"})
    assert refusal.status_code == 400
    assert "expected one of" in refusal.json()["error"]


def test_what_one_provider_stores_another_does_not_have(providers):
    body = {"model": "m", "input": "hello"}
    stored = chat(providers, "/openai/v1/responses", bearer("openai"), body).json()["id"]
    assert providers.http.get(f"/ollama/v1/responses/{stored}").status_code == 404
    path = f"/openai/v1/responses/{stored}"
    assert providers.http.get(path, headers=bearer("openai")).status_code == 200


def test_only_who_serves_messages_does(providers):
    answer = chat(providers, "/openai/v1/messages", bearer("openai") | MESSAGE, HELLO_CLAUDE)
    assert answer.status_code == 404
    compatible = chat(providers, "/anthropic/v1/chat/completions", bearer("anthropic"))
    assert compatible.status_code == 200


def test_the_old_options_make_the_provider_that_takes_every_other_path(tmp_path):
    (tmp_path / "azure").write_text(KEYS["azure"])
    with running(tmp_path, "--provider", f"azure={tmp_path / 'azure'}", "--record") as simulator:
        assert simulator.chat().status_code == 200
        azure = chat(simulator, "/azure/v1/chat/completions", {"api-key": KEYS["azure"]})
        assert azure.status_code == 200
        leaked = chat(simulator, "/v1/chat/completions", {"api-key": KEYS["azure"]})
        assert leaked.status_code == 401
        (found,) = simulator.control("leaks")
        assert (found["key_of"], found["reached"]) == ("azure", "default")


def test_it_serves_tls(tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    files = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    with running(tmp_path, *files, verify=trusting) as simulator:
        assert simulator.url.startswith("https://127.0.0.1:")
        assert simulator.chat(stream=True).text.endswith("data: [DONE]\n\n")
        with pytest.raises(httpx.RemoteProtocolError):
            simulator.chat("abort_after=1", stream=True)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{simulator.url}/_simulator/health")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--provider", "openai"], "write NAME=KEYFILE"),
        (["--provider", "openai=,shape=x"], "write NAME=KEYFILE"),
        (["--provider", "openai="], "give openai at least one provider key"),
        (["--provider", "a=,quirk=strange"], "quirk 'strange': known are anthropic, azure"),
        (["--provider", "ollama=,base=v1"], "base path 'v1'"),
        (["--provider", "ollama=", "--provider", "ollama=,base=/b"], "the same name"),
        (["--provider", "ollama=", "--provider", "b=,quirk=ollama,base=/ollama/v1"], "base path"),
        (["--key", KEY, "--tls-cert", "cert.pem"], "go together"),
    ],
)
def test_what_cannot_be_played_is_refused(options, message):
    assert message in refused(*options)


def test_two_providers_cannot_share_a_key():
    other = ProviderSettings("b", (KEY,), "/b", "openai")
    with pytest.raises(ValueError, match="the same key"):
        Settings(keys=(KEY,), others=(other,))


def test_a_provider_is_read_from_its_file_and_its_name(tmp_path):
    (tmp_path / "keys").write_text("one\n\n two \n")
    read = read_provider(f"mistral={tmp_path / 'keys'}")
    assert read == ProviderSettings("mistral", ("one", "two"), "/mistral/v1", "mistral")
    other = read_provider(f"eu={tmp_path / 'keys'},quirk=azure,base=/eu")
    assert (other.quirk, other.base_path) == ("azure", "/eu")
    assert read_provider(f"x={tmp_path / 'keys'}").quirk == "openai"
    assert "one" not in repr(read)
