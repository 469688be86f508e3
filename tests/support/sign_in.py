"""A sign-in as a person does it, without the person."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from partner_center.sign_in import Report
    from simulator import Simulator


def sign_in(simulator: Simulator, connection: str = "partner_center_default") -> Report:
    """Sign in by device code through the package's own code; the code is approved as soon as it is shown."""
    from partner_center.hook import PartnerCenterHook
    from partner_center.sign_in import by_device_code

    def read(line: str) -> None:
        if line.startswith("Code: "):
            approved = simulator.control.approve(line.removeprefix("Code: "))
            assert approved == {"approved": 1}

    return by_device_code(read, PartnerCenterHook(connection))
