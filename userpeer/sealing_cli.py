"""The commands `seal` and `unseal`: do the keys in the store lie open (mode 0600), or under a passphrase?"""

from __future__ import annotations

import asyncio

import click

from core.errors import MeadowError

from .backup import check_passphrase
from .call import call
from .errors import NotRunning
from .settings import Settings
from .terminal import Context, fail, json_option, print_item, remark
from .unlocking import Ask, asking, unlock_options


@click.command()
@unlock_options
@click.option(
    "--new-passphrase-file",
    type=click.Path(dir_okay=False),
    help="Read the new passphrase from the first line of this file (- is standard input) instead of asking.",
)
@json_option
@click.pass_obj
def seal(
    obj: Context, passphrase_file: str | None, passphrase_fd: int | None, new_passphrase_file: str | None
) -> None:
    """Seal the secret keys in the store by a passphrase, or by another one than so far.

    Your peer then asks for it at each start; if it runs now, it goes on. Without the passphrase the keys are lost, to
    you as well: make a backup (`userpeer backup`, `userpeer words`) before.
    """

    def new() -> str:
        if new_passphrase_file is not None:
            given = asking(new_passphrase_file)()
        else:
            given = click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
        check_passphrase(given)
        return given

    _change(obj, asking(passphrase_file, passphrase_fd), new)
    print_item(obj, {"sealed": True}, "The keys are sealed.")
    remark(
        "Your peer asks for the passphrase at each start. Copies of the directory made before hold open keys."
    )


@click.command()
@unlock_options
@json_option
@click.pass_obj
def unseal(obj: Context, passphrase_file: str | None, passphrase_fd: int | None) -> None:
    """Let the secret keys lie open in the store again, readable by your user alone."""
    _change(obj, asking(passphrase_file, passphrase_fd), None)
    print_item(obj, {"sealed": False}, "The keys are not sealed any more.")


def _change(obj: Context, old: Ask, new: Ask | None) -> None:
    """Through the running peer if there is one, else on the store itself."""
    try:
        try:
            (about,) = call(obj.settings.control_socket, "sealed", {})
        except NotRunning:
            asyncio.run(_reseal(obj.settings, old, new))
            return
        given = {"current": old()} if about["sealed"] else {}
        if new is None:
            list(call(obj.settings.control_socket, "unseal", given))
        else:
            list(call(obj.settings.control_socket, "seal", {**given, "new": new()}))
    except (MeadowError, OSError) as error:
        fail(obj, error)


async def _reseal(settings: Settings, old: Ask, new: Ask | None) -> None:
    from .service import open_peer

    settings.prepare()
    peer = await open_peer(settings, old)
    try:
        peer.store.seal(None if new is None else new())
    finally:
        await peer.close()
