"""Access-log lines by the million, as long and as various as those of a busy month."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

TEAMS, KEYS_PER_TEAM = 40, 25
BEGAN = datetime(2026, 10, 1, tzinfo=UTC)
DAYS = 30
MODELS = {
    # provider, provider model, input, output and cached input in USD per million tokens
    "gpt4_limited": ("openai", "gpt-4o-mini", "0.15", "0.6", "0.075"),
    "gpt4_standard": ("openai", "gpt-4o", "2.5", "10", "1.25"),
    "mistral_small": ("mistral", "mistral-small-latest", "0.1", "0.3", "0.1"),
    "internal-embeddings": ("openai", "text-embedding-3-small", "0.02", "0", "0.02"),
}
_REFUSALS = (
    ("rate_limit_requests", 429, "RL", "request_rate_limited"),
    ("budget_exceeded", 429, "RL", "request_rate_limited"),
    ("model_not_allowed", 403, "UAEX", "ext_authz_denied"),
    ("key_expired", 401, "UAEX", "ext_authz_denied"),
)
_REFUSED_OF_100 = 3
# An hour in which one key calls as it never does.
_BURST_HOUR, _BURST_KEY = 400, 500
_AGENTS = ("OpenAI/Python 3.54.0", "OpenAI/JS 5.8.2", "python-requests/2.32.3", "curl/8.14.1")


def write(path: Path, count: int, seed: int = 1) -> None:
    """`count` lines, from the first of the days to the last."""
    with path.open("w", encoding="utf-8", buffering=1 << 20) as file:
        file.writelines(lines(count, seed))


def lines(count: int, seed: int = 1) -> Iterator[str]:
    """Each with its newline, in the order in which they are logged."""
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    step = timedelta(days=DAYS) / max(count, 1)
    for number in range(count):
        began = BEGAN + number * step
        is_burst = (number * step) // timedelta(hours=1) == _BURST_HOUR and number % 3 == 0
        # Few keys make most of the calls.
        key = _BURST_KEY if is_burst else int(TEAMS * KEYS_PER_TEAM * rng.random() ** 3)
        yield _line(rng, key, f"{began:%Y-%m-%dT%H:%M:%S}.{began.microsecond // 1000:03}Z")


def _line(rng: random.Random, key: int, time: str) -> str:
    alias = rng.choice(tuple(MODELS))
    make = _refused if rng.random() * 100 < _REFUSED_OF_100 else _answered
    return make(rng, time, key, alias)


def _who(key: int) -> tuple[str, str, str, str]:
    team, project = f"team-{key // KEYS_PER_TEAM}", f"assistant-{key % 5}"
    env = ("prod", "dev")[key % 2]
    return f"{team}-{project}-{env}-{key}", team, project, env


def _refused(rng: random.Random, time: str, key: int, alias: str) -> str:
    key_id, team, project, env = _who(key)
    code, status, flags, details = rng.choice(_REFUSALS)
    return (
        f'{{"alias":"{alias}","attempts":0,"bytes_received":{rng.randrange(80, 9000)},'
        f'"bytes_sent":412,"client_address":"10.{key % 256}.{rng.randrange(256)}.7",'
        f'"decision":"{code}","duration_ms":{rng.randrange(2, 9)},"env":"{env}","flags":"{flags}",'
        f'"key_id":"{key_id}","max_tokens":"none","method":"POST","path":"/v1/chat/completions",'
        f'"policy_version":"bba6d432694b","project":"{project}","protocol":"HTTP/1.1",'
        f'"reason":"Key {key_id} was refused: ask {team}-leads@example.com for more.",'
        f'"request_bytes":"812","request_id":"{_uuid(rng)}","status":{status},'
        f'"status_details":"{details}","stream":"false","team":"{team}","time":"{time}",'
        f'"user_agent":"{rng.choice(_AGENTS)}"}}\n'
    )


def _answered(rng: random.Random, time: str, key: int, alias: str) -> str:
    key_id, team, project, env = _who(key)
    provider, model, inward, outward, cached = MODELS[alias]
    taken = int(10 * 4000 ** rng.random())
    hit, given = rng.choice((0, 0, taken // 2)), int(5 * 400 ** rng.random())
    ms = given * 9 + rng.randrange(300)
    return (
        f'{{"alias":"{alias}","attempts":1,"bytes_received":{taken * 4},"bytes_sent":{given * 5},'
        f'"client_address":"10.{key % 256}.{rng.randrange(256)}.7","decision":"allowed",'
        f'"duration_ms":{ms},"env":"{env}","flags":"-","key_id":"{key_id}","max_tokens":"none",'
        '"method":"POST","path":"/v1/chat/completions","policy_version":"bba6d432694b",'
        f'"price":{{"cached_input_per_million":"{cached}","input_per_million":"{inward}",'
        f'"output_per_million":"{outward}"}},"project":"{project}","protocol":"HTTP/1.1",'
        f'"provider":"{provider}","provider_first_byte_ms":{rng.randrange(90, 300)},'
        f'"provider_model":"{model}","reason":"allowed","request_bytes":"{taken * 4}",'
        f'"request_id":"{_uuid(rng)}","reservation":{{"cost_nanousd":"2471550",'
        f'"input_tokens":{taken},"output_tokens":4096,'
        f'"reservation_id":"{rng.getrandbits(128):032x}","slots":["team:{team}|key:{key_id},'
        f"project:{project},team,key:{key_id}@{alias}~,project:{project}@{alias}~,team@{alias}~,"
        f'project:{project}#{env}~,team#{env}~","org:example|org,org#{env}~",'
        f'"alias:{alias}|alias"]}},"status":200,"status_details":"via_upstream",'
        f'"stream":"{rng.choice(("true", "false"))}","team":"{team}","time":"{time}",'
        f'"usage":{{"cached_input_tokens":{hit},"complete":true,"input_tokens":{taken},'
        f'"output_tokens":{given},"reasoning_tokens":0,"usage_source":"reported"}},'
        f'"user_agent":"{rng.choice(_AGENTS)}"}}\n'
    )


def _uuid(rng: random.Random) -> str:
    text = f"{rng.getrandbits(128):032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
