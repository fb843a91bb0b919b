"""Making a peer from a backup, in a directory where there is none."""

from __future__ import annotations

import os
import shutil

from core.peer import Peer

from .backup import Backup
from .errors import UserError
from .restoring import expect
from .service import BEE_NAME
from .settings import Settings
from .submitting import Submission, Submissions


async def restore(settings: Settings, backup: Backup) -> str:
    """A peer with the keys of `backup`; returns its bee's key (64 hex). It writes nothing before it has found what it
    wrote before. Raises `UserError` when there is a peer in that directory already.
    """
    if settings.store.exists() and any(os.scandir(settings.store)):
        raise UserError(
            f"There is a peer in {settings.directory} already, and it is not touched. "
            "Name an empty directory with --dir."
        )
    settings.prepare()
    # The mark comes first: a crash in between leaves a peer that refuses to write, not one that forks its log.
    expect(settings.restored, backup)
    try:
        peer = await Peer.open(settings.store, primary_key=backup.primary_key)
        try:
            key = peer.bee(name=BEE_NAME).core.key.hex()
        finally:
            await peer.close()
        if backup.bee and key != backup.bee:
            raise UserError(
                "The keys in this backup do not make the bee that it names; it was put together wrongly."
            )
    except BaseException:
        shutil.rmtree(settings.store, ignore_errors=True)
        settings.restored.unlink(missing_ok=True)
        raise
    submissions = Submissions(settings.aggregators)
    for url in backup.aggregators:
        submissions.remember(
            Submission(url, backup.at, True, "From your backup; submit again so that it finds you here.")
        )
    return key
