"""An HTTP adapter that sends a request target byte for byte.

A next link's query is opaque and percent-encoded in lower case; urllib3 rewrites percent-encodings to upper case
(``urllib3.util.url._encode_invalid_chars``), which is another string to a service that compares bytes.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests_toolbelt.adapters.socket_options import TCPKeepAliveAdapter
from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection

_TARGET = "X-Verbatim-Target"


class _VerbatimConnection(HTTPSConnection):
    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **kwargs: Any) -> None:
        headers = dict(headers or {})
        super().request(method, headers.pop(_TARGET, url), body, headers, **kwargs)


class _VerbatimPool(HTTPSConnectionPool):
    ConnectionCls = _VerbatimConnection


class VerbatimAdapter(TCPKeepAliveAdapter):  # type: ignore[misc]
    """Keep-alive as in Airflow's HttpHook, and the target of `verbatim` requests unchanged."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use connections that know the verbatim target."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"https": _VerbatimPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Use them through a proxy too (https goes through a CONNECT tunnel)."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": _VerbatimPool}
        return manager


def verbatim(request: requests.PreparedRequest, url: str) -> requests.PreparedRequest:
    """Make the prepared request ask for exactly the path and query of `url`."""
    parts = urlsplit(url)
    request.headers[_TARGET] = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return request
