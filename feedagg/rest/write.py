"""What the API does for the operator."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from core.errors import BadArgument
from feedagg import operations, policy
from feedagg.addresses import normal
from feedagg.ingest import now_ms
from feedagg.operations import OPERATIONS, Operation, Target
from feedagg.rest.call import Call, Wrong

log = logging.getLogger("feedagg.rest")


def on_bee(name: str) -> Callable[[Call], Awaitable[dict[str, Any]]]:
    """The handler of an operation on a bee."""
    operation = OPERATIONS[name]

    async def handle(call: Call) -> dict[str, Any]:
        return await _run(call, operation, Target(call.bee, None, call.body.get("reason")))

    return handle


def on_record(name: str) -> Callable[[Call], Awaitable[dict[str, Any]]]:
    """The handler of an operation on a record."""
    operation = OPERATIONS[name]

    async def handle(call: Call) -> dict[str, Any]:
        bee, key = bytes.fromhex(call.body["bee"]), bytes.fromhex(call.body["keyHex"])
        return await _run(call, operation, Target(bee, key, call.body.get("reason")))

    return handle


async def _run(call: Call, operation: Operation, target: Target) -> dict[str, Any]:
    try:
        changed = await call.here.database.write(
            lambda connection: operation.run(connection, now_ms(), target)
        )
    except policy.NotFollowed as error:
        raise Wrong(404, str(error)) from None
    except policy.NotNow as error:
        raise Wrong(409, str(error)) from None
    except BadArgument as error:
        raise Wrong(400, str(error)) from None
    log.info("operator: %s", operation.name, extra={"bee": target.bee.hex(), "changed": changed})
    await call.here.standing.tick()
    return {"changed": changed, "message": operation.done if changed else operation.same}


async def add(call: Call) -> dict[str, Any]:
    bee = bytes.fromhex(call.body["bee"])
    try:
        address = normal(call.body["peer"]) if "peer" in call.body else None
    except BadArgument as error:
        raise Wrong(400, str(error), "peer") from None
    changed = await call.here.database.write(operations.add, bee, now_ms(), address)
    return {"changed": changed, "message": "The bee is followed." if changed else "It is followed already."}


async def policy_(call: Call) -> dict[str, Any]:
    changed = await call.here.database.write(policy.choose, now_ms(), call.body["policy"])
    return {
        "changed": changed,
        "message": "The policy is changed." if changed else "It is the policy already.",
    }
