"""Endpoints whose model nothing in a request tells: open to who is allowed a name for them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from authz_service.decision import decide
from authz_service.verdicts import Call, Granted, Listed, Refused
from tests.unit.authz.builders import NOW, key
from tests.unit.authz.company import ALLOWED, company
from tollhouse import endpoints
from tollhouse.policy.compiled import Snapshot

UPLOAD = Call("POST", "/v1/files", key("uploader"), "files")


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return company(tmp_path_factory.mktemp("company") / "policies")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT"])
def test_who_is_allowed_the_name_may_use_its_endpoints_by_any_method(
    snapshot: Snapshot, method: str
) -> None:
    for endpoint in ("files", "batches"):
        path = f"/v1/{endpoint}/file-1"
        call = replace(UPLOAD, method=method, path=path, endpoint=endpoint)
        uploader, uploads = snapshot.keys["uploader"], snapshot.aliases["uploads"]
        assert decide(snapshot, call, NOW) == Granted(uploader, uploads, endpoint)


def test_no_body_is_read_there_and_a_tool_that_names_an_alias_is_told_of_that_one(
    snapshot: Snapshot,
) -> None:
    assert UPLOAD.model is None
    for model in (None, "uploads"):
        granted = decide(snapshot, replace(UPLOAD, model=model), NOW)
        assert isinstance(granted, Granted)
        assert granted.alias.name == "uploads"
    refused = decide(snapshot, replace(UPLOAD, model="chat"), NOW)
    assert isinstance(refused, Refused)
    assert refused.code == "endpoint_not_allowed"


@pytest.mark.parametrize("name", ["star", "tagged", "grouped", "patterned", "caller"])
def test_no_star_tag_group_or_pattern_opens_them(snapshot: Snapshot, name: str) -> None:
    refused = decide(snapshot, replace(UPLOAD, api_key=key(name)), NOW)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.alias) == ("endpoint_not_allowed", None)
    assert "POST /v1/files is not open on this gateway" in refused.message


def test_a_star_beside_the_name_takes_nothing_away(snapshot: Snapshot) -> None:
    assert isinstance(decide(snapshot, replace(UPLOAD, api_key=key("widely")), NOW), Granted)


@pytest.mark.parametrize("endpoint", sorted(endpoints.UNCHECKED - {"files", "batches"}))
def test_what_the_name_does_not_list_stays_closed(snapshot: Snapshot, endpoint: str) -> None:
    call = replace(UPLOAD, path=f"/v1/{endpoint}", endpoint=endpoint)
    assert getattr(decide(snapshot, call, NOW), "code", None) == "endpoint_not_allowed"


def test_two_names_for_one_endpoint_are_refused_for_nothing_says_which_is_meant(
    snapshot: Snapshot,
) -> None:
    refused = decide(snapshot, replace(UPLOAD, api_key=key("double")), NOW)
    assert isinstance(refused, Refused)
    assert refused.code == "endpoint_not_allowed"
    assert "serve /v1/files (uploads, uploads-too)" in refused.message
    assert "Ask web-leads to allow one of them only" in refused.message
    batches = replace(UPLOAD, api_key=key("double"), path="/v1/batches", endpoint="batches")
    assert isinstance(decide(snapshot, batches, NOW), Granted)


def test_such_a_name_is_no_model_that_a_body_can_name(snapshot: Snapshot) -> None:
    for endpoint in sorted(endpoints.NAMING_A_MODEL):
        call = Call("POST", f"/v1/{endpoint}", key("uploader"), endpoint, "uploads")
        refused = decide(snapshot, call, NOW)
        assert isinstance(refused, Refused)
        assert refused.code == "endpoint_not_allowed"
        assert f"does not serve /v1/{endpoint}; it serves /v1/batches, /v1/files" in refused.message


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_the_list_of_models_has_such_names_for_those_only_who_may_use_them(
    snapshot: Snapshot, name: str
) -> None:
    listed = decide(snapshot, Call("GET", "/v1/models", key(name)), NOW)
    assert isinstance(listed, Listed)
    has = any(alias.name == "uploads" for alias in listed.aliases)
    assert has == (name in {"uploader", "double", "widely"})
