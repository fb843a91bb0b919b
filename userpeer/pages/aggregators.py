"""To whom one's key was given, and what each of them says about one's bee."""

from __future__ import annotations

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response

from core.errors import BadArgument
from userpeer.coverage import findings, lines
from userpeer.errors import SubmitFailed
from userpeer.live import stream
from userpeer.service import PeerService
from userpeer.submitting import Submission, aggregator_url, submit
from userpeer.views import AggregatorLine, AggregatorsView, Form, Notice

from .render import block, frame, page, see_other, service_of, typed


async def aggregators(request: Request) -> Response:
    """GET /aggregators: what they said last. Answers that are old are asked for anew; nobody waits for them."""
    service = service_of(request)
    service.coverage.refresh([submission.url for submission in service.submissions.all()])
    return page(request, "aggregators.html", await _view(request), block="aggregators")


async def aggregators_events(request: Request) -> Response:
    """GET /live/aggregators"""

    async def render() -> str:
        return block(request, "aggregators.html", "about_me", await _view(request))

    return EventSourceResponse(stream(request.app.state.hub, render))


async def submit_key(request: Request) -> Response:
    """POST /aggregators"""
    service = service_of(request)
    values = await typed(request)
    try:
        submission = await submit(aggregator_url(values.get("url", "")), service.key, service.listening)
    except (BadArgument, SubmitFailed) as error:
        status = getattr(error, "status", 422)
        view = await _view(request, Form(values, {"url": str(error)}))
        return page(request, "aggregators.html", view, block="aggregators", status=status)
    service.submissions.remember(submission)
    if submission.accepted:
        service.coverage.refresh([submission.url], older_than=0)
        return see_other("/aggregators?did=submitted")
    view = await _view(request, Form(values, {"url": submission.sentence}))
    return page(request, "aggregators.html", view, block="aggregators", status=422)


async def ask(request: Request) -> Response:
    """POST /aggregators/ask: ask one of them now, and wait for its answer."""
    service, url = service_of(request), (await typed(request)).get("url", "")
    if any(submission.url == url for submission in service.submissions.all()):
        await service.coverage.ask(url)
    return see_other("/aggregators")


async def forget(request: Request) -> Response:
    """POST /aggregators/forget"""
    service, url = service_of(request), (await typed(request)).get("url", "")
    service.submissions.forget(url)
    service.coverage.forget(url)
    return see_other("/aggregators?did=forgotten")


async def line_of(service: PeerService, submission: Submission) -> AggregatorLine:
    """What is known of one aggregator, beside one's own log."""
    answer = service.coverage.of(submission.url)
    receipt = None if answer is None else answer.receipt
    is_asking = service.coverage.is_asking(submission.url)
    if answer is None or receipt is None:
        return AggregatorLine(submission, answer, [], [], is_asking)
    own = await service.own_log()
    found = findings(receipt, own, answer.hidden, answer.unread)
    return AggregatorLine(submission, answer, lines(receipt, own), found, is_asking)


async def _view(request: Request, form: Form | None = None) -> AggregatorsView:
    service = service_of(request)
    submissions = service.submissions.all()
    did = request.query_params.get("did")
    notice = None
    if did == "submitted" and submissions:
        notice = Notice(submissions[0].sentence)
    elif did == "forgotten":
        notice = Notice("It is off your list. It still has your key: only its operator can drop that.")
    every = [await line_of(service, submission) for submission in submissions]
    return AggregatorsView(
        **await frame(request, notice),
        aggregators=every,
        asking=any(one.is_asking for one in every),
        form=form or Form(),
        listening=str(service.listening) if service.listening else None,
    )
