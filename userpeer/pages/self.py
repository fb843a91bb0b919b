"""Who one is: the profile, and the key."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import lru_cache

import segno
from starlette.requests import Request
from starlette.responses import Response

from userpeer.backup import check_passphrase, seal
from userpeer.drafts import ProfileDraft, draft_from
from userpeer.errors import InvalidField
from userpeer.views import Form, KeyView, Notice, ProfileView

from .render import frame, page, see_other, service_of, typed, typed_with_images

AVATAR_SIDE = 512
"""Pixels; a picture beside a name needs no more."""

_SAID = {
    "sealed": "Your secret key is sealed. The next start of your peer asks for the passphrase.",
    "resealed": "Your secret key is sealed by the new passphrase; the old one opens nothing any more.",
    "unsealed": "Your secret key is not sealed any more.",
}


async def profile(request: Request) -> Response:
    """GET /profile"""
    record = await service_of(request).reader.profile()
    values = {"name": record.name, "bio": record.bio or "", "website": record.website or ""} if record else {}
    notice = Notice("Saved. Readers see it as soon as they ask.") if request.query_params.get("did") else None
    view = ProfileView(
        **await frame(request, notice), form=Form(values), avatar=record.avatar if record else None
    )
    return page(request, "profile.html", view)


async def save_profile(request: Request) -> Response:
    """POST /profile"""
    service = service_of(request)
    values, uploads = await typed_with_images(request)
    try:
        draft: ProfileDraft = draft_from(ProfileDraft, values)
        if uploads:
            service.publisher.check_profile(draft)
            image = await service.media.add(uploads[0].data, "", side=AVATAR_SIDE)
            draft = replace(draft, avatar=image.blob)
        elif values.get("no_avatar"):
            draft = replace(draft, avatar=False)
        await service.publisher.set_profile(draft)
    except InvalidField as error:
        record = await service.reader.profile()
        form = Form(values, {"image1" if error.field == "images" else error.field: str(error)})
        view = ProfileView(**await frame(request), form=form, avatar=record.avatar if record else None)
        return page(request, "profile.html", view, block="form", status=422)
    return see_other("/profile?did=saved")


async def key(request: Request) -> Response:
    """GET /key"""
    return await key_page(request)


async def backup(request: Request) -> Response:
    """POST /backup: the keys as a file, sealed by a passphrase."""
    service, values = service_of(request), await typed(request)
    passphrase = values.get("passphrase", "")
    try:
        check_passphrase(passphrase)
        if passphrase != values.get("again", ""):
            raise InvalidField("again", "The two passphrases differ; type the same one twice.")
    except InvalidField as error:
        return await key_page(request, backup=Form({}, {error.field: str(error)}), status=422)
    sealed = await asyncio.to_thread(seal, await service.backup(), passphrase)
    name = f"meadow-backup-{service.key[:8]}.json"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(sealed, media_type="application/json", headers=headers)


async def nobody_has_it(request: Request) -> Response:
    """POST /restoring/nobody-has-it"""
    await service_of(request).restoring.nobody_has_it()
    return see_other("/")


async def key_page(
    request: Request, *, backup: Form | None = None, sealing: Form | None = None, status: int = 200
) -> Response:
    """The page "Your key", with what was wrong in one of its forms. No passphrase is ever shown again."""
    service = service_of(request)
    said = _SAID.get(request.query_params.get("did", ""))
    view = KeyView(
        **await frame(request, Notice(said) if said else None),
        form=backup or Form(),
        sealing=sealing or Form(),
        id=service.id,
        qr=qr_code(service.key),
        info=service.info(),
        listening=str(service.listening) if service.listening else None,
        directory=str(service.settings.directory.resolve()),
        is_sealed=service.sealing.is_sealed,
        is_private=request.app.state.is_private,
    )
    return page(request, "key.html", view, status=status)


@lru_cache(maxsize=4)
def qr_code(text: str) -> str:
    """`text` as an SVG without inline style, drawn dark on light in every theme."""
    code = segno.make(
        text.upper(), error="m", micro=False
    )  # upper-case hex fits the denser alphanumeric mode
    svg: str = code.svg_inline(
        border=2,
        omitsize=True,
        svgclass="qr-code",
        lineclass=None,
        dark="#2a1d02",
        title="Your key as a QR code",
    )
    return svg
