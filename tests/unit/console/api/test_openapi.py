"""The published OpenAPI document is what the API does: requests made from it find no 5xx, and no
answer that it does not say."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support import console
from tests.support.console import TOKENS
from tests.support.policy import KEY_ID, write_tree
from tests.unit.console.api.conftest import MODELS, OPS

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
EXAMPLES = 40
KNOWN = {
    "ref": KEY_ID,
    "team": "web",
    "project": "site",
    "alias": "small",
    "token_id": "viewer",
}


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Any]:
    root = tmp_path_factory.mktemp("openapi")
    tree = write_tree(
        root / "policies", management=console.MANAGEMENT, teams__ops=OPS, models=MODELS
    )
    with console.serving(console.services(tree, root / "state", redis_url)) as url:
        document = httpx.get(f"{url}/manage/openapi.json", trust_env=False).json()
        found = schemathesis.openapi.from_dict(document)
        found.config.update(base_url=url)
        yield found


def drive(operation: Any, seen: collections.Counter[int], session: requests.Session) -> None:
    """Requests to one endpoint, some as the document wants them and some not."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in MODES)),
        is_known=st.booleans(),
    )
    def ask(case: schemathesis.Case, is_known: bool) -> None:
        for name in case.path_parameters if is_known else ():
            case.path_parameters[name] = KNOWN[name]
        headers = {"authorization": f"Bearer {TOKENS['admin']}"}
        answer = case.call(headers=headers, session=session)
        seen[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    ask()


def test_whatever_is_asked_the_answer_is_one_of_the_document(schema: Any) -> None:
    seen: collections.Counter[int] = collections.Counter()
    operations = [found.ok() for found in schema.get_all_operations()]
    with requests.Session() as session:
        for operation in operations:
            drive(operation, seen, session)
    asked = f"{sum(seen.values())} requests to {len(operations)} endpoints"
    print(f"\n{asked}, answers by status: {dict(sorted(seen.items()))}")
    assert seen[200] > EXAMPLES
    assert seen[400] > EXAMPLES
    assert not any(status >= 500 for status in seen)


def test_the_document_says_how_to_sign_in_and_what_each_endpoint_refuses(schema: Any) -> None:
    document = schema.raw_schema
    assert document["components"]["securitySchemes"] == {
        "token": {"type": "http", "scheme": "bearer", "description": document_words()}
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            assert {"401", "403", "500"} <= operation["responses"].keys(), (method, path)


def document_words() -> str:
    return "A management token (tlm_…), or a JWT of the company's single sign-on."
