"""What a person can get wrong here; every sentence says what it is and how to mend it."""

from __future__ import annotations

from core.errors import MeadowError


class UserError(MeadowError):
    """The request cannot be done as it was made. `code` is for programs, `str(error)` for people."""

    code = "bad-request"
    status = 422


class NotFound(UserError):
    """No record has that key."""

    code = "not-found"
    status = 404


class InvalidField(UserError):
    """What was typed into one field does not fit. `field` is the field's name in forms and options."""

    code = "invalid-field"

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class EditConflict(UserError):
    """The record changed between reading it for an edit and saving it."""

    code = "edit-conflict"
    status = 409


class SubmitFailed(UserError):
    """An aggregator could not be reached or did not take the key."""

    code = "submit-failed"
    status = 502


class NotRunning(UserError):
    """Nothing answers on this directory's control socket."""

    code = "not-running"
