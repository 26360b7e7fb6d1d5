"""Which requests are asked about before their body is held, as envoy.yaml says it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tollhouse.paths import ENVOY_DIR

SMALL_BYTES = 65_536


def passed_over() -> list[dict[str, Any]]:
    """What says that a body is not large: a short content-length, or none of what has no body."""
    listener = yaml.safe_load((ENVOY_DIR / "envoy.yaml").read_text())["static_resources"]
    manager = listener["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    [large] = [each for each in manager["http_filters"] if each["name"] == "large"]
    [only] = large["typed_config"]["xds_matcher"]["matcher_list"]["matchers"]
    predicates: list[dict[str, Any]] = only["predicate"]["or_matcher"]["predicate"]
    return predicates


def regex_of(predicate: Any) -> re.Pattern[str]:
    return re.compile(predicate["single_predicate"]["value_match"]["safe_regex"]["regex"])


def test_a_body_is_small_up_to_64_kib_and_by_no_other_spelling_of_its_length() -> None:
    small = regex_of(passed_over()[0])
    for length in range(3 * SMALL_BYTES):
        assert bool(small.fullmatch(str(length))) is (length <= SMALL_BYTES)
    for spelled in ("", "-1", "+1", "1e3", "0x1", "1 ", "1, 1", "065536", "65536.5", "9" * 30):
        assert small.fullmatch(spelled) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST", "PUT", "PATCH", "get"])
def test_a_body_of_unknown_length_is_large_but_for_methods_that_have_none(method: str) -> None:
    absent, by_method = passed_over()[1]["and_matcher"]["predicate"]
    assert regex_of(absent["not_matcher"]).pattern == ".*"
    has_none = method in ("GET", "HEAD", "DELETE")
    assert bool(regex_of(by_method).fullmatch(method)) is has_none
