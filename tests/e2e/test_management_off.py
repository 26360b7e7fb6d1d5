"""Management is there only where the policy wants it, and calls of models do not need it."""

from __future__ import annotations

from pathlib import Path

from tests.support.gateway import running, wait_for
from tests.support.managed import KEY, chat, example_tree, manage


def test_management_comes_and_goes_with_its_file_and_nothing_is_restarted(tmp_path: Path) -> None:
    tree = example_tree(tmp_path / "policies")
    file = tree / "management.yaml"
    text = file.read_text()
    file.unlink()
    with running(tree, tmp_path / "run") as gateway:
        off = manage(gateway, "GET", "/policy")
        assert (off.status_code, off.json()["error"]["code"]) == (401, "invalid_api_key")
        assert "admin_token" in gateway.up
        assert gateway.up["admin_token"] is None
        envoy = gateway.pid_of("envoy")
        file.write_text(text)
        wait_for(lambda: manage(gateway, "GET", "/policy").status_code == 200, "management")
        file.unlink()
        wait_for(lambda: manage(gateway, "GET", "/policy").status_code == 401, "its end")
        assert gateway.pid_of("envoy") == envoy
        assert chat(gateway, KEY).status_code == 200


def test_without_the_console_management_says_so_and_calls_go_on(tmp_path: Path) -> None:
    tree = example_tree(tmp_path / "policies")
    with running(tree, tmp_path / "run") as gateway:
        (tmp_path / "run/console.sock").unlink()
        away = manage(gateway, "GET", "/policy")
        assert (away.status_code, away.json()["error"]["code"]) == (503, "management_unavailable")
        assert away.headers["x-tollhouse-decision"] == "management_unavailable"
        assert chat(gateway, KEY).status_code == 200


def test_without_tokens_nobody_gets_in(tmp_path: Path) -> None:
    tree = example_tree(tmp_path / "policies")
    (tree / "management.yaml").write_text("tokens: []\n")
    with running(tree, tmp_path / "run") as gateway:
        assert manage(gateway, "GET", "/policy").status_code == 401
        assert gateway.up["admin_token"] is None
