"""`hyp bee ...`: the entries of a bee. Values are JSON, on the command line, on standard input and on output."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

from userpeer.wording import counted

from .address import split_address
from .terminal import FAILED, Context, Group, ask, print_item, print_json, remark, say_error

F = TypeVar("F", bound=Callable[..., Any])

_ENCODINGS = ("json", "utf-8", "hex", "base64")


@click.group(cls=Group)
def bee() -> None:
    """Read and write the entries of a bee.

    BEE is a name or hyper://<64 hex>, BEE/KEY is one entry of it.
    """


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


_place = _options(
    click.option(
        "--sub", multiple=True, metavar="NAME", help="In this sub-database; again for one within it."
    ),
    click.option("--values", type=click.Choice(_ENCODINGS), help="How values are stored, if not as JSON."),
)
_reading = _options(
    _place,
    click.option(
        "--at",
        type=click.IntRange(min=1),
        metavar="VERSION",
        help="As it was when its log had so many blocks.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0.01),
        metavar="SECONDS",
        help="How long to wait for peers and blocks; by default 10.",
    ),
)
_waiting = _options(
    _place,
    click.option(
        "--timeout",
        type=click.FloatRange(0.01),
        metavar="SECONDS",
        help="How long to wait for peers and blocks; by default 10.",
    ),
)
_bounds = _options(
    click.option("--gt", metavar="KEY", help="Keys after this one."),
    click.option("--gte", metavar="KEY", help="Keys from this one on."),
    click.option("--lt", metavar="KEY", help="Keys before this one."),
    click.option("--lte", metavar="KEY", help="Keys up to this one."),
)
_order = _options(
    click.option("--reverse", is_flag=True, default=None, help="The last first."),
    click.option("--limit", type=click.IntRange(min=0), metavar="COUNT", help="At most so many."),
)
_if_seq = click.option(
    "--if-seq",
    type=click.IntRange(min=0),
    metavar="BLOCK",
    help="Only if the entry is still that of this block; 0: only if there is none.",
)


@bee.command()
@click.argument("address", metavar="BEE/KEY")
@_reading
@click.pass_obj
def get(obj: Context, /, address: str, **options: Any) -> None:
    """Print the value of one entry."""
    name, key = _entry(address)
    for item in ask(obj, "hyp.get", bee=name, key=key, **_given(options)):
        if "bytes" in item:
            say_error(obj, "not-json", f"The value is not JSON. {_OTHER_KINDS}")
            sys.exit(FAILED)
        print_item(obj, item, json.dumps(item["value"], ensure_ascii=False, indent=2))


@bee.command()
@click.argument("address", metavar="BEE/KEY")
@click.argument("value", required=False)
@click.option("--text", "is_text", is_flag=True, help="VALUE is text, even if it looks like JSON.")
@_if_seq
@_place
@click.pass_obj
def put(
    obj: Context, /, address: str, value: str | None, is_text: bool, if_seq: int | None, **options: Any
) -> None:
    """Put VALUE under KEY. What is not JSON is text; without VALUE (or with -) standard input is read."""
    name, key = _entry(address)
    parsed = _value(value, is_text)
    for item in ask(obj, "hyp.put", bee=name, key=key, value=parsed, ifSeq=if_seq, **_given(options)):
        print_item(obj, item, f"/{key} written, type is {_type_of(parsed)}")


@bee.command()
@click.argument("address", metavar="BEE[/START]")
@click.argument("value", required=False)
@click.option("--text", "is_text", is_flag=True, help="VALUE is text, even if it looks like JSON.")
@_place
@click.pass_obj
def add(obj: Context, /, address: str, value: str | None, is_text: bool, **options: Any) -> None:
    """Put VALUE under a new key.

    The key is START and 16 digits made of the time: nothing has it yet, and it sorts after all that were made before,
    whoever adds at the same moment.
    """
    name, prefix = split_address(address)
    parsed = _value(value, is_text)
    for item in ask(obj, "hyp.add", bee=name, prefix=prefix, value=parsed, **_given(options)):
        print_item(obj, item, f"/{item['key']} written, type is {_type_of(parsed)}")


@bee.command("del")
@click.argument("address", metavar="BEE/KEY")
@_if_seq
@_place
@click.pass_obj
def delete(obj: Context, /, address: str, if_seq: int | None, **options: Any) -> None:
    """Delete one entry. Whoever kept its block can still prove that it existed."""
    name, key = _entry(address)
    for item in ask(obj, "hyp.del", bee=name, key=key, ifSeq=if_seq, **_given(options)):
        print_item(obj, item, f"/{key} has been deleted")


@bee.command()
@click.argument("name", metavar="BEE")
@_place
@click.pass_obj
def batch(obj: Context, /, name: str, **options: Any) -> None:
    """Put and delete many entries, all or none.

    Standard input says which, one JSON object a line; "ifSeq" is the block that the entry must be of (0: none).

    \b
      {"key": "1985/ran", "value": {"title": "Ran"}}
      {"type": "del", "key": "1985/brazil", "ifSeq": 4}
    """
    name, path = split_address(name)
    if path:
        raise click.UsageError("A batch is for a whole bee: leave out what stands behind the slash.")
    operations = []
    for number, line in enumerate(sys.stdin, 1):
        if line.strip():
            try:
                operations.append(json.loads(line, parse_constant=_no_constant))
            except (ValueError, RecursionError) as error:
                raise click.UsageError(f"Line {number} of standard input is not JSON: {error}.") from None
    if not operations:
        raise click.UsageError("Nothing came on standard input, so nothing was done.")
    for item in ask(obj, "hyp.batch", bee=name, operations=operations, **_given(options)):
        print_item(
            obj,
            item,
            f"{counted(item['operations'], 'operation')} done; the bee is at version {item['version']:,}",
        )


@bee.command()
@click.argument("address", metavar="BEE[/START]")
@_bounds
@_order
@click.option(
    "--shallow", is_flag=True, default=None, help="What goes on behind the next slash is one line: /tree/."
)
@_reading
@click.pass_obj
def ls(obj: Context, /, address: str, **options: Any) -> None:
    """List entries in the order of their keys.

    All of them, or those whose key begins with START: hyp bee ls movies/1979/
    """
    name, prefix = split_address(address)
    for item in ask(obj, "hyp.ls", bee=name, prefix=prefix or None, **_given(options)):
        if "tree" in item:
            print_item(obj, item, f"/{item['tree']}")
        else:
            print_item(obj, item, f"/{item['key']} = {_shown(item)}")


@bee.command()
@click.argument("name", metavar="BEE")
@click.option("--gt", type=int, metavar="BLOCK", help="Blocks after this one.")
@click.option(
    "--gte", type=int, metavar="BLOCK", help="Blocks from this one on; negative: counted from the end."
)
@click.option("--lt", type=int, metavar="BLOCK", help="Blocks before this one.")
@click.option("--lte", type=int, metavar="BLOCK", help="Blocks up to this one.")
@_order
@_reading
@click.pass_obj
def history(obj: Context, /, name: str, **options: Any) -> None:
    """List what was put and deleted, in the order of the log."""
    for item in ask(obj, "hyp.history", bee=split_address(name).bee, **_given(options)):
        print_item(obj, item, _line(item))


@bee.command()
@click.argument("address", metavar="BEE[/START]")
@click.argument("version", type=click.IntRange(min=1))
@_bounds
@click.option("--limit", type=click.IntRange(min=0), metavar="COUNT", help="At most so many.")
@_reading
@click.pass_obj
def diff(obj: Context, /, address: str, version: int, **options: Any) -> None:
    """List what has changed since VERSION.

    Until now, or until the version that --at names: + added, - gone, ~ changed.
    """
    name, prefix = split_address(address)
    arguments = {"bee": name, "prefix": prefix or None, "from": version, **_given(options)}
    for item in ask(obj, "hyp.diff", **arguments):
        new, old = item["new"], item["old"]
        if new is None:
            words = f"- /{item['key']} = {_shown(old)}"
        else:
            words = f"{'~' if old else '+'} /{item['key']} = {_shown(new)}"
        print_item(obj, item, words)


@bee.command()
@click.argument("address", metavar="BEE[/START]")
@_bounds
@click.option(
    "--since", type=click.IntRange(min=0), metavar="VERSION", help="Begin with what came after this version."
)
@_waiting
@click.pass_obj
def watch(obj: Context, /, address: str, **options: Any) -> None:
    """Print what is put and deleted, as it happens.

    Here or at its owner's, until Ctrl-C.
    """
    name, prefix = split_address(address)
    for item in ask(obj, "hyp.watch", bee=name, prefix=prefix or None, **_given(options)):
        if obj.as_json:
            print_json(item)
        elif "watching" in item:
            remark(obj, f"Watching from version {item['watching']:,} on.")
        else:
            click.echo(_line(item))
        sys.stdout.flush()


# --- values and words -----------------------------------------------------------------------------


def _entry(address: str) -> tuple[str, str]:
    name, key = split_address(address)
    if not key:
        raise click.UsageError(f"Which entry of {name}? Write {name}/KEY.")
    return name, key


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value is not None and value != ()
    }


def _value(given: str | None, is_text: bool) -> Any:
    """The value to put; never nothing by accident."""
    if given is None and sys.stdin.isatty():
        raise click.UsageError("Nothing to put: give a VALUE, or send one through standard input.")
    text = sys.stdin.read() if given is None or given == "-" else given
    if given in (None, "-") and not text.strip():
        raise click.UsageError("Nothing to put: there was no VALUE, and nothing came on standard input.")
    if is_text:
        return text
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise click.UsageError("The value is nested too deeply.") from None
    except ValueError as error:
        if text.lstrip()[:1] in ("{", "["):
            raise click.UsageError(
                f"The value begins like JSON but is not: {error}. Put it as it is with --text."
            ) from None
        return text.removesuffix("\n") if given is None or given == "-" else text


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


_OTHER_KINDS = "Values of another kind are read with --values utf-8, hex or base64."


def _shown(item: dict[str, Any]) -> str:
    if "bytes" in item:
        return f"({counted(len(base64.b64decode(item['bytes'])), 'byte')} that are no JSON: --values hex)"
    return json.dumps(item["value"], ensure_ascii=False)


def _line(item: dict[str, Any]) -> str:
    end = "" if item["type"] == "del" else f" = {_shown(item)}"
    return f"{item['seq']} {item['type']} /{item['key']}{end}"
