"""What `render` leaves in a directory: whole files, the places of secrets, nothing stale."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.policy import TREE, write_tree
from tollhouse.policy.compiler import load_snapshot
from tollhouse.rendering import Address, EnvoySettings, RenderError, TlsFiles, render

OTHER = """\
  other:
    dialect: openai
    base_url: https://api.other.example/v1
    api_key: file:/run/secrets/other
    idle_timeout_seconds: 60
"""
ONE = TREE["providers.yaml"]
TWO = ONE + OTHER
SETTINGS = EnvoySettings(
    authz=Address(path="/run/authz.sock"),
    ratelimit=Address(path="/run/ratelimit.sock"),
    access_log=Path("/var/log/access.json"),
)
TLS = TlsFiles(Path("/certs/tls.crt"), Path("/certs/tls.key"))


def settings(**changed: Any) -> EnvoySettings:
    taken = {name: getattr(SETTINGS, name) for name in EnvoySettings.__dataclass_fields__}
    return EnvoySettings(**{**taken, **changed})


class Folder:
    """A policy, and the directory it is rendered into."""

    def __init__(self, root: Path) -> None:
        self.policies, self.out = root / "policies", root / "out"

    def render(self, using: EnvoySettings = SETTINGS, **policy: str) -> list[str]:
        """The names of the files that changed, in the order written."""
        snapshot = load_snapshot(write_tree(self.policies, **{"providers": TWO, **policy}))
        return [str(path.relative_to(self.out)) for path in render(snapshot, using, self.out)]

    def secrets(self) -> list[str]:
        return sorted(path.name for path in (self.out / "secrets").iterdir())

    def texts(self) -> dict[str, str]:
        files = (path for path in self.out.rglob("*") if path.is_file())
        return {str(path.relative_to(self.out)): path.read_text() for path in files}

    def written(self) -> dict[Path, tuple[int, int]]:
        status = {path: path.stat() for path in self.out.rglob("*")}
        return {path: (one.st_ino, one.st_mtime_ns) for path, one in status.items()}

    def bootstrap(self) -> Any:
        return yaml.safe_load((self.out / "envoy.yaml").read_text())

    def secret(self, name: str) -> Any:
        [secret] = json.loads((self.out / f"secrets/{name}.json").read_text())["resources"]
        return secret


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# Which files, and when


def test_a_file_comes_after_those_it_needs(folder: Folder) -> None:
    first, *lua, openai, other, cds, ecds, rds = folder.render()
    assert (first, openai, other) == ("envoy.yaml", "secrets/openai.json", "secrets/other.json")
    assert "lua/request.lua" in lua
    assert (cds, ecds, rds) == ("cds.json", "ecds.json", "rds.json")


def test_a_second_rendering_touches_nothing(folder: Folder) -> None:
    folder.render()
    before = folder.written()
    assert folder.render() == []
    assert folder.written() == before


@pytest.mark.parametrize(
    ("changed", "written"),
    [
        ({"models": TREE["models.yaml"].replace("4o-mini", "4o")}, []),
        ({"org": "limits: {requests_per_minute: 7}\n"}, []),
        ({"providers": TWO.replace("api.other", "eu.other")}, ["cds.json"]),
        ({"providers": TWO.replace("secrets/other", "secrets/new")}, ["secrets/other.json"]),
        ({"providers": TWO.replace("seconds: 60", "seconds: 61")}, ["rds.json"]),
        ({"providers": TWO + OTHER.replace("other", "new")}, ["secrets/new.json", "cds", "rds"]),
        # What the listener holds needs a restart, as docs/operating.md says.
        ({"org": "max_request_bytes: 2048\n"}, ["envoy.yaml"]),
        ({"providers": TWO.replace("seconds: 60", "seconds: 900")}, ["envoy.yaml", "rds.json"]),
    ],
)
def test_an_edit_changes_what_it_is_about_and_the_version_of_routes_and_clusters(
    folder: Folder, changed: dict[str, str], written: list[str]
) -> None:
    folder.render()
    before = folder.texts()
    replaced = folder.render(**changed)
    versioned = ["cds.json", "rds.json"]
    assert replaced == [name for name in replaced if name not in versioned] + versioned
    said = [
        name for name in replaced if resources(folder.texts()[name]) != resources(before.get(name))
    ]
    full = {"cds": "cds.json", "rds": "rds.json"}
    assert said == [full.get(name, name) for name in written]


def resources(text: str | None) -> Any:
    """What a file says, its version aside."""
    return json.loads(text)["resources"] if text and text.startswith("{") else text


def test_routes_and_clusters_carry_the_policys_version_and_secrets_none(folder: Folder) -> None:
    folder.render()
    said = {
        name: json.loads(text).get("version_info")
        for name, text in folder.texts().items()
        if name.endswith(".json")
    }
    version = load_snapshot(folder.policies).version
    assert said == {
        **dict.fromkeys(("ecds.json", "secrets/openai.json", "secrets/other.json")),
        **dict.fromkeys(("cds.json", "rds.json"), version),
    }


def test_a_file_is_replaced_by_rename_and_nothing_else_stays(folder: Folder) -> None:
    folder.render()
    names = set(folder.texts())
    with (folder.out / "cds.json").open() as reader:
        half = reader.read(100)
        folder.render(providers=TWO.replace("api.other", "eu.other"))
        old = half + reader.read()
    assert "api.other.example" in json.dumps(json.loads(old))
    assert "eu.other.example" in (folder.out / "cds.json").read_text()
    assert set(folder.texts()) == names


def test_a_provider_that_leaves_takes_its_secrets_place_with_it(folder: Folder) -> None:
    folder.render()
    assert folder.secrets() == ["openai.json", "other.json"]
    assert folder.render(providers=ONE) == ["cds.json", "rds.json"]
    assert folder.secrets() == ["openai.json"]
    assert [name for name, text in folder.texts().items() if "secrets/other" in text] == []


def test_a_file_that_somebody_else_put_beside_the_secrets_places_stays(folder: Folder) -> None:
    folder.render()
    (folder.out / "secrets" / "mine.json").write_text('{"mine": true}')
    folder.render(providers=ONE)
    assert folder.secrets() == ["mine.json", "openai.json"]


def test_a_listener_that_gives_up_tls_keeps_no_certificate(folder: Folder) -> None:
    folder.render(settings(tls=TLS))
    assert folder.secrets() == ["_listener.json", "openai.json", "other.json"]
    folder.render()
    assert folder.secrets() == ["openai.json", "other.json"]
    assert "/certs/tls" not in "".join(folder.texts().values())


def test_a_provider_called_listener_does_not_meet_the_listeners_certificate(
    folder: Folder,
) -> None:
    folder.render(settings(tls=TLS), providers=TWO + OTHER.replace("other", "listener"))
    assert folder.secret("listener")["generic_secret"]["secret"]["filename"]
    assert folder.secret("_listener")["tls_certificate"]["certificate_chain"] == {
        "filename": "/certs/tls.crt"
    }


def test_settings_that_would_expose_keys_write_nothing(folder: Folder) -> None:
    with pytest.raises(RenderError):
        folder.render(settings(listen=Address("0.0.0.0", 8080)))
    assert not folder.out.exists()


# Secrets


def test_a_secret_is_named_by_its_place_and_never_read(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-in-the-environment")
    key = tmp_path / "other.key"
    key.write_text("sk-in-the-file")
    folder.render(providers=TWO.replace("/run/secrets/other", str(key)))
    assert folder.secret("openai")["generic_secret"]["secret"] == {
        "environment_variable": "OPENAI_API_KEY"
    }
    # Its folder is watched: a renewed key takes effect without a restart.
    assert folder.secret("other")["generic_secret"]["secret"] == {
        "filename": str(key),
        "watched_directory": {"path": str(tmp_path)},
    }
    assert "sk-in-the" not in "".join(folder.texts().values())


def test_a_simulated_provider_has_the_simulators_url_and_key_alone(folder: Folder) -> None:
    stand_in = ("http://127.0.0.1:7/v1", Path("/run/simulator.key"))
    folder.render(settings(simulated={"other": stand_in}))
    assert folder.secret("other")["generic_secret"]["secret"]["filename"] == "/run/simulator.key"
    assert folder.secret("openai")["generic_secret"]["secret"] == {
        "environment_variable": "OPENAI_API_KEY"
    }
    clusters = (folder.out / "cds.json").read_text()
    assert "api.other.example" not in clusters
    assert "api.openai.com" in clusters


def test_a_provider_without_a_key_has_no_secret_and_one_with_a_ca_has_its_place(
    folder: Folder,
) -> None:
    own = OTHER.replace(
        "    api_key: file:/run/secrets/other\n", "    ca_file: /run/certs/ca.crt\n"
    )
    folder.render(providers=ONE + own)
    assert folder.secrets() == ["_ca.other.json", "openai.json"]
    assert folder.secret("_ca.other")["validation_context"] == {
        "trusted_ca": {"filename": "/run/certs/ca.crt"},
        "watched_directory": {"path": "/run/certs"},
    }
    folder.render(providers=ONE)
    assert folder.secrets() == ["openai.json"]


# Paths


def test_files_name_the_directory_where_envoy_sees_it(folder: Folder) -> None:
    snapshot = load_snapshot(write_tree(folder.policies, providers=TWO))
    render(snapshot, settings(tls=TLS), folder.out, seen_as=Path("/etc/there"))
    texts = folder.texts()
    assert [name for name, text in texts.items() if str(folder.out) in text] == []
    assert {name for name, text in texts.items() if "/etc/there" in text} == {
        "envoy.yaml",
        "cds.json",
    }
    assert "/etc/there/secrets/_listener.json" in texts["envoy.yaml"]
    assert 'package.path = "/etc/there/lua/?.lua"' in texts["envoy.yaml"]
    assert "/etc/there/secrets/other.json" in texts["cds.json"]


ODD = "/srv/$it's {a} #1 100% über"


def test_an_odd_path_arrives_as_it_is(folder: Folder) -> None:
    snapshot = load_snapshot(write_tree(folder.policies))
    odd = settings(access_log=Path(f"{ODD}/log"), authz=Address(path=f'{ODD}"/a.sock'))
    render(snapshot, odd, folder.out, seen_as=Path(ODD))
    bootstrap = folder.bootstrap()
    assert bootstrap["dynamic_resources"]["cds_config"]["path_config_source"] == {
        "path": f"{ODD}/cds.json",
        "watched_directory": {"path": ODD},
    }
    text = json.dumps(bootstrap, ensure_ascii=False)
    assert f'"path": "{ODD}/log"' in text
    assert f'package.path = \\"{ODD}/lua/?.lua\\"\\n' in text
    assert json.dumps(f'{ODD}"/a.sock', ensure_ascii=False) in text


@pytest.mark.parametrize("odd", ['"', "\\", ";", "?", "\n", "\t", "\x7f", "\u2028", "\udcff"])
@pytest.mark.parametrize("where", ["directory", "access log"])
def test_a_path_that_would_be_read_as_something_else_is_refused(
    folder: Folder, odd: str, where: str
) -> None:
    snapshot, path = load_snapshot(write_tree(folder.policies)), Path(f"/srv/a{odd}b")
    log, seen_as = (path, None) if where == "access log" else (Path("/dev/null"), path)
    with pytest.raises(RenderError) as refused:
        render(snapshot, settings(access_log=log), folder.out, seen_as=seen_as)
    assert str(refused.value).startswith(f"the path {str(path)!r} cannot stand in Envoy's files")
    assert not os.path.lexists(folder.out)
