"""What fails at a simulated provider, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wire.loopback import Answer, Fault, Request


@dataclass(frozen=True)
class Outage:
    """Times (epoch seconds) in which requests whose path holds `where` fail: dropped, or with a status."""

    start: float
    end: float
    status: int | None = None
    where: str = ""


def fault_at(now: float, request: Request, outages: Iterable[Outage]) -> Fault | None:
    """Return what goes wrong with a request now."""
    for outage in outages:
        if outage.where in request.path and outage.start <= now < outage.end:
            return Fault(drop=True) if outage.status is None else Fault(answer=Answer(_REFUSAL, outage.status))
    return None


_REFUSAL = {"code": 50_010_000, "message": "not now", "msg": "not now"}
