"""Warnings about lists of models, and about what nothing uses."""

from __future__ import annotations

from collections.abc import Iterator

from tollhouse.policy.files import RulesFile
from tollhouse.policy.warnings.view import Node, View, Warned, warned


def warnings_of(view: View) -> Iterator[Warned]:
    """All of every level, and of models.yaml, providers.yaml and org.yaml."""
    for node in view.nodes:
        yield from _allowed(view, node)
        yield from _shadow(view, node)
    yield from _aliases(view)
    yield from _unused_names(view)
    yield from _environments(view)
    yield from _teams(view)


def _allowed(view: View, node: Node) -> Iterator[Warned]:
    for index, entry in enumerate(node.rules.allowed_models or ()):
        selected = view.opens(entry)
        if not selected:
            names = ", ".join(sorted(view.select(entry)))
            message = f"'{entry}' allows nothing: {names} can be allowed by name only"
            yield node.warn("allowed-without-effect", message, "allowed_models", index)
            continue
        for parent in (*node.parents, node):
            if not any(_permits(view, parent.rules, alias) for alias in selected):
                message = f"'{entry}' is allowed here, but not under the rules of {parent.where}"
                yield node.warn("allowed-without-effect", message, "allowed_models", index)
                break


def _permits(view: View, rules: RulesFile, alias: str) -> bool:
    allowed = rules.allowed_models
    return not any(alias in view.select(entry) for entry in rules.denied_models) and (
        allowed is None or any(alias in view.opens(entry) for entry in allowed)
    )


def _shadow(view: View, node: Node) -> Iterator[Warned]:
    shadow = node.rules.shadow
    if shadow is None:
        return
    rules = RulesFile(allowed_models=shadow.allowed_models, denied_models=shadow.denied_models)
    if all(_permits(view, rules, alias) for alias in view.models(node)):
        message = f"the shadow rules of {node.where} would deny nothing to anybody"
        yield node.warn("shadow-without-effect", message, "shadow", at_key=True)


def _aliases(view: View) -> Iterator[Warned]:
    models = view.tree.models
    callable_by_some = view.reached.get((None, None, None), set())
    for name, alias in view.snapshot.aliases.items():
        path = ("models", name)
        if name not in callable_by_some:
            message = f"nobody may call '{name}'"
            yield warned(models.document, "alias-unused", message, path, at_key=True)
        if not alias.is_priced:
            message = f"'{name}' has no price: its calls cost nothing in reports"
            yield warned(models.document, "alias-unpriced", message, path, at_key=True)
    used = {each.provider for alias in view.snapshot.aliases.values() for each in alias.deployments}
    for name in sorted(view.snapshot.providers.keys() - used):
        document, path = view.tree.providers.document, ("providers", name)
        message = f"no model uses the provider '{name}'"
        yield warned(document, "provider-unused", message, path, at_key=True)


def _unused_names(view: View) -> Iterator[Warned]:
    file, document = view.tree.models.model, view.tree.models.document
    used = {entry for members in file.groups.values() for entry in members}
    used.update(entry for node in view.nodes for entry in _entries(node.rules))
    for group in file.groups:
        if f"group:{group}" not in used:
            message = f"no list uses the group '{group}'"
            yield warned(document, "group-unused", message, ("groups", group), at_key=True)
    told: set[str] = set()
    for name, model in file.models.items():
        for index, tag in enumerate(model.tags):
            if f"tag:{tag}" not in used and tag not in told:
                told.add(tag)
                path = ("models", name, "tags", index)
                yield warned(document, "tag-unused", f"no list uses the tag '{tag}'", path)


def _entries(rules: RulesFile) -> Iterator[str]:
    for each in (rules, rules.shadow):
        if each is not None:
            yield from each.allowed_models or ()
            yield from each.denied_models


def _environments(view: View) -> Iterator[Warned]:
    document = view.tree.org.document
    for env in view.tree.org.model.environments:
        if (None, None, env) not in view.reached:
            path = ("environments", env)
            message = f"no key is in the environment '{env}'"
            yield warned(document, "environment-without-keys", message, path, at_key=True)


def _teams(view: View) -> Iterator[Warned]:
    for source in view.tree.teams:
        name = source.model.team
        if view.snapshot.teams[name].owner is None:
            message = f"the team '{name}' has no owner: refusals name the gateway's operator"
            yield warned(source.document, "owner-missing", message, ("team",))
        if not source.model.projects:
            message = f"the team '{name}' has no projects"
            yield warned(source.document, "team-without-projects", message, ("team",))
        elif (name, None, None) not in view.reached:
            message = f"the team '{name}' has no keys"
            yield warned(source.document, "team-without-keys", message, ("team",))
