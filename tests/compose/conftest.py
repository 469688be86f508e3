"""These tests bring whole stacks up with docker: `make test-compose`, not a part of `make test`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.stack import Stack, running

if not os.environ.get("PARTNER_CENTER_COMPOSE_TESTS"):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Give the stack, one for all tests: each finds it as the test before has left it."""
    folder: Path = tmp_path_factory.mktemp("stack") / "repo"
    with running(folder) as found:
        yield found
