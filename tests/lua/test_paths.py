"""envoy/lua/paths.lua: which path is which endpoint, and how its request is read."""

from typing import Any

import pytest

from tests.lua.modules import Modules
from tollhouse import endpoints


def of(modules: Modules, path: str) -> dict[str, Any]:
    found: dict[str, Any] = modules.call("paths", "of", path)
    return found


def name_of(modules: Modules, path: str) -> str:
    name: bytes = of(modules, path)["name"]
    return name.decode()


def test_every_endpoint_has_its_path_and_its_reader(modules: Modules) -> None:
    readers = {}
    for name in endpoints.KNOWN:
        path = "/v1/responses/resp_1" if name == endpoints.RESPONSE_BY_ID else f"/v1/{name}"
        assert name_of(modules, path) == name
        readers[name] = of(modules, path)["reader"].decode()
    by_reader = {
        reader: {name for name, read_by in readers.items() if read_by == reader}
        for reader in readers.values()
    }
    assert by_reader == {
        "form": endpoints.MULTIPART,
        "json": endpoints.NAMING_A_MODEL - endpoints.MULTIPART,
        "id": {endpoints.RESPONSE_BY_ID},
        "none": endpoints.UNCHECKED,
    }


def test_an_endpoint_is_read_by_the_methods_it_takes(modules: Modules) -> None:
    for name in endpoints.KNOWN:
        path = "/v1/responses/resp_1" if name == endpoints.RESPONSE_BY_ID else f"/v1/{name}"
        methods = of(modules, path).get("methods")
        assert (methods and frozenset(methods)) == endpoints.methods_of(name)


def test_a_response_is_named_by_its_id(modules: Modules) -> None:
    for name in ("resp_1", "resp-1.0123456789.abcdef", "a" * 200):
        assert of(modules, f"/v1/responses/{name}")["response_id"].decode() == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 201,
        ".",
        "..",
        "_-.",
        "none",
        "a/cancel",
        "a/input_items",
        "a%2e",
        "a b",
        "é",
        "a;b",
        "resp_1/",
        "a\0",
    ],
)
def test_what_is_no_id_is_no_endpoint(modules: Modules, name: str) -> None:
    assert name_of(modules, f"/v1/responses/{name}") == "none"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/",
        "/v1/files/file-abc/content",
        "/v1/fine_tuning/checkpoints/ft:gpt-4o-mini:org::7p4lURel/permissions",
        "/v1/vector_stores/vs_1/files/..a",
    ],
)
def test_what_lies_below_an_unchecked_endpoint_belongs_to_it(modules: Modules, path: str) -> None:
    assert name_of(modules, path) == path.split("/")[2]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/../chat/completions",
        "/v1/files/..",
        "/v1/files/./x",
        "/v1/files/%2e%2e/chat/completions",
        "/v1/files/..%2fchat",
        "/v1/files\\x",
        "/v1/files/a\\..\\b",
        "/v1/files//chat/completions",
        "/v1/files;x",
        "/v1/filesx",
        "/v1/Files",
        "/v1/files:batch",
        "/v1/file",
        "/v1/",
        "/v1",
        "/",
        "",
        "/files",
        "/v2/files",
        "//v1/files",
        "/v1/chat/completions/",
        "/v1/chat",
        "/v1/Chat/completions",
        "/v1/chat/completions/x",
        "/v1/messages/batches",
        "/v1/audio",
        "/v1/models",
    ],
)
def test_every_other_path_is_no_endpoint(modules: Modules, path: str) -> None:
    assert name_of(modules, path) == "none"
