"""Tests of one `xdist_group` go to one worker: `--dist loadgroup` does it by the node id, which has to name the group.

pytest-xdist 3.8.0 still writes the name where pytest 9.2 does not read it, and then hands the tests out as if they had
no group, without a word (https://github.com/pytest-dev/pytest-xdist/issues/1386).
"""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Name the group, unless xdist has done so; the option is set in its workers alone."""
    if not config.getoption("loadgroup", default=False):
        return
    for item in items:
        marker = item.get_closest_marker("xdist_group")
        if marker is not None and not item.nodeid.endswith(suffix := f"@{marker.args[0]}"):
            item._id = type(item._id).parse(item.nodeid + suffix)
