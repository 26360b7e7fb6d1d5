"""Writes the files Envoy runs from: bootstrap, routes, providers' clusters, credentials, Lua."""

from tollhouse.rendering.settings import (
    Address,
    EnvoySettings,
    RenderError,
    ServicesTls,
    TlsFiles,
)
from tollhouse.rendering.write import render

__all__ = ["Address", "EnvoySettings", "RenderError", "ServicesTls", "TlsFiles", "render"]
