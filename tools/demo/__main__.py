"""Fill the demo people's bees, start their peers, and give their keys to the aggregator."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from core.errors import StorageLocked
from core.records import Meta
from userpeer.service import open_service
from userpeer.settings import SOFTWARE, Settings

from .. import meadow, run
from ..supervise import Program, ProgramFailed, run_until_interrupted
from .records import read_person

PEOPLE = sorted(path for path in (Path(__file__).parent / "people").iterdir() if path.is_dir())


async def fill(directory: Path, person: Path) -> int:
    """Put into the bee in `directory` what of the person's records it lacks; returns how many that were."""
    async with open_service(Settings(directory)) as service:
        records = read_person(person)
        missing = [record for record in records if await service.bee.get(record.key) is None]
        if not missing:
            return 0
        async with service.bee.batch() as batch:
            if service.bee.version <= 1:
                meta = Meta(key="meta/self", software=SOFTWARE, created_at=records[0].created_at)
                await batch.put(meta.key, meta.to_json())
            for record in missing:
                await batch.put(record.key, record.to_json())
        return len(missing)


async def start(programs: list[Program]) -> None:
    """Fill, start and submit the two, after the aggregator and one's own peer if those do not run yet."""
    for person in PEOPLE:
        try:
            added = await fill(meadow.HOME / f"demo-{person.name}", person)
        except StorageLocked:
            raise ProgramFailed(
                f"The peer of {person.name} runs already: `make demo` is there in another terminal. "
                "Ctrl-C there stops it."
            ) from None
        said = f"{added} records written" if added else "nothing to add"
        print(f"  {person.name}: {said}", flush=True)
    found = run.running()
    feed, own, bootstrap = found or await run.start(programs)
    for number, person in enumerate(PEOPLE, 1):
        name = f"demo-{person.name}"
        peer = meadow.peer(meadow.HOME, name, f"The peer of {person.name}", number, bootstrap=bootstrap)
        programs.append(peer)
        print(f"  starting the peer of {person.name} …", flush=True)
        await peer.start()
        await meadow.submit(meadow.HOME, name, feed, peer.ready)
    stop = "Ctrl-C stops the two people; `make run` goes on." if found else run.STOP
    run.welcome(feed, own, "open the feed; it fills while you look.", stop=stop)


async def main() -> int:
    """Run until Ctrl-C or a crash."""
    attached = run.running() is not None
    try:
        return await run_until_interrupted(start)
    finally:
        if not attached:
            run.STATE.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
