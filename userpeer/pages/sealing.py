"""The forms of the page "Your key" that seal the secret key, change its passphrase, or open it again."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from userpeer.errors import InvalidField, UserError
from userpeer.sealing import CURRENT, NEW
from userpeer.views import Form

from .render import see_other, service_of, typed
from .self import key_page

OPENING = "opening"
"""The field for the passphrase so far, in the form that opens the key again."""


async def seal(request: Request) -> Response:
    """POST /key/seal"""
    values = await typed(request)
    was_sealed = service_of(request).sealing.is_sealed
    try:
        if values.get(NEW, "") != values.get("repeated", ""):
            raise InvalidField("repeated", "The two passphrases differ; type the same one twice.")
        await _change(request, values.get(CURRENT), values.get(NEW, ""))
    except InvalidField as error:
        return await key_page(request, sealing=Form({}, {error.field: str(error)}), status=422)
    return see_other("/key?did=" + ("resealed" if was_sealed else "sealed"))


async def unseal(request: Request) -> Response:
    """POST /key/unseal"""
    try:
        await _change(request, (await typed(request)).get(OPENING), None)
    except InvalidField as error:
        return await key_page(request, sealing=Form({}, {OPENING: str(error)}), status=422)
    return see_other("/key?did=unsealed")


async def _change(request: Request, current: str | None, new: str | None) -> None:
    if not request.app.state.is_private:
        raise UserError(
            "This page is open to other machines, and a passphrase would cross the network in clear. "
            "Run `userpeer seal` in a terminal of the computer that holds the key."
        )
    await service_of(request).sealing.change(current, new)
