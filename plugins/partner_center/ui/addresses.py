"""Where Airflow is reached, as browsers and Microsoft's login know it."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.configuration import conf
from fastapi import Request

PREFIX = "/partner-center"

# https://learn.microsoft.com/entra/identity-platform/reply-url
_LOOPBACK = frozenset({"localhost", "127.0.0.1"})


def base_url(request: Request) -> str:
    """Return Airflow's address: the setting ``[api] base_url``, else the request's own; without a slash at its end."""
    return str(conf.get("api", "base_url", fallback="") or own_url(request)).rstrip("/")


def own_url(request: Request) -> str:
    """Return the address of Airflow that the request was sent to, as far as a proxy tells it."""
    return str(request.base_url).rstrip("/").removesuffix(PREFIX)


def airflow_root(request: Request) -> str:
    """Return the path before Airflow's own, empty where it has a host of its own."""
    return str(request.scope.get("root_path", "")).removesuffix(PREFIX)


def can_be_returned_to(url: str) -> bool:
    """Say whether Microsoft's login sends a browser back to it: by https, or by http to the same machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
