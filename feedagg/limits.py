"""The limits that bind strangers, as the page `/about` and `/limits.json` publish them."""

from __future__ import annotations

from core.records.bounds import published
from feedagg.decide import FIRST_LOOK
from feedagg.imaging import MAX_PIXELS
from feedagg.pictures import MAX_IMAGE_BYTES
from feedagg.reports import MAX_OPEN
from feedagg.settings import Settings
from feedagg.sources import MAX_HINTS


def of(settings: Settings) -> dict[str, int]:
    """Every limit by name: those of records, and those of this aggregator."""
    records = {name: value for name, value in published().items() if not name.startswith("operationsPer")}
    return records | {
        "operationsPerSecond": settings.operations_per_second,
        "operationsPerHour": settings.operations_per_hour,
        "operationsPerDay": settings.operations_per_day,
        "newBeeDays": settings.new_bee_days,
        "imageBytes": MAX_IMAGE_BYTES,
        "imagePixels": MAX_PIXELS,
        "firstLookOperations": FIRST_LOOK,
        "backfillBlocksPerSecond": settings.backfill_per_second,
        "addressesPerBee": MAX_HINTS,
        "bees": settings.max_sources,
        "beesPerSubmitter": settings.max_per_submitter,
        "submissionsAtOnce": settings.submit_burst,
        "submissionsPerHour": settings.submit_per_hour,
        "reportsAtOnce": settings.report_burst,
        "reportsPerHour": settings.report_per_hour,
        "reportsWaiting": MAX_OPEN,
    }


MEANINGS = {
    "valueBytes": "bytes in one record",
    "keyBytes": "bytes in a record's key",
    "textBytes": "bytes in a post's text; a longer text goes into its long form",
    "moreBytes": "bytes in the long form of a post",
    "reviewBytes": "bytes in a review",
    "nameCharacters": "characters in a name",
    "bioCharacters": "characters in a profile's words",
    "titleCharacters": "characters in a film's title",
    "tags": "tags on one record",
    "tagCharacters": "characters in a tag",
    "images": "images on one post",
    "operationsPerSecond": "operations of a new bee read in a second",
    "operationsPerHour": "operations of a new bee read in an hour; what is over it is read later",
    "operationsPerDay": "operations of a new bee read in a day",
    "newBeeDays": "days a bee that was submitted is new",
    "imageBytes": "bytes in an image, to be shown here",
    "imagePixels": "pixels in an image, to be shown here",
    "firstLookOperations": "newest operations of a bee that are read before anything older",
    "backfillBlocksPerSecond": "older blocks read in a second, all bees together",
    "addressesPerBee": "addresses kept for one bee",
    "bees": "bees followed at most",
    "beesPerSubmitter": "bees given by one address",
    "submissionsAtOnce": "keys submitted from one address at once",
    "submissionsPerHour": "keys submitted from one address in an hour after that",
    "reportsAtOnce": "reports and appeals from one address at once",
    "reportsPerHour": "reports and appeals from one address in an hour after that",
    "reportsWaiting": "reports, and appeals, that wait for the operator at one time",
}
"""What each limit counts, for people."""
