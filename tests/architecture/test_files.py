"""What is true of our files: readable sizes, no private places, vendored code that is what it says."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tomllib

from tests.support.repository import ROOT, own_files, python_files

LONGEST_FILE = 500

# Written in two halves, so that this file does not hold what it forbids.
PRIVATE_PLACES = re.compile(
    "|".join(
        [
            r"/ro" r"ot/",
            r"/wo" r"rk/",
            r"/home/[a-z]+/",
            r"/Users/[A-Za-z]+/",
            r"--index" r"-url|--extra-index" r"-url|--trusted" r"-host|--find" r"-links",
            r"https?://(?:pypi|files\.pythonhosted|registry\.npmjs|registry\.yarnpkg)\.",
        ]
    )
)
LOCK_HOST = re.compile(r'"resolved":|https?://')
# Flags that keep a registry out of the lock files are no registry.
HARMLESS = re.compile(r"--no-emit-(?:index-url|trusted-host|find-links)")
TEXT = {
    ".py",
    ".md",
    ".txt",
    ".toml",
    ".html",
    ".css",
    ".js",
    ".mjs",
    ".cjs",
    ".sh",
    ".cfg",
    ".ini",
    ".yml",
    "",
}


def text_files():
    return [path for path in own_files() if path.suffix in TEXT and "vectors" not in path.parts]


def test_no_file_names_a_registry_or_a_place_of_one_machine() -> None:
    wrong = []
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            found = PRIVATE_PLACES.search(HARMLESS.sub("", line))
            if found:
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {found.group()}")
    assert not wrong, "\n".join(wrong)


def test_the_lock_files_hold_versions_and_hashes_and_no_hosts() -> None:
    for name in ("runtime.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text()
        pins = re.findall(r"^[a-z0-9][a-z0-9._-]*==\S+ \\$", text, re.MULTILINE)
        assert len(pins) > 30
        assert text.count("--hash=sha256:") >= len(pins)
        assert not LOCK_HOST.search(text)
        assert not re.search(r"^-", text, re.MULTILINE), f"{name} holds an option line"


def test_the_runtime_lock_covers_every_dependency_the_project_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = set(
        re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements/runtime.txt").read_text(), re.MULTILINE)
    )
    named = {re.split(r"[\[<>=]", requirement)[0] for requirement in project["dependencies"]}
    assert named <= locked, named - locked


def test_the_dev_lock_repeats_the_versions_of_the_runtime_lock() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / name).read_text()
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))

    runtime, dev = pins("runtime.txt"), pins("dev.txt")
    assert runtime.items() <= dev.items()


def test_python_files_stay_readable() -> None:
    files = python_files("core", "feedagg", "userpeer", "templates", "tools", "bench", "tests")
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    too_long = [f"{path.relative_to(ROOT)}: {lines}" for path, lines in sizes.items() if lines > LONGEST_FILE]
    assert not too_long, f"longer than {LONGEST_FILE} lines:\n" + "\n".join(too_long)


def test_htmx_is_the_file_its_readme_describes() -> None:
    static = ROOT / "templates/static"
    bundle = (static / "htmx-bundle.js").read_bytes()
    readme = (static / "README.md").read_text(encoding="utf-8")
    recorded = dict(re.findall(r"`([^`]*\.js)`[^|]*\| `([A-Za-z0-9+/=]{64})`", readme))
    htmx, extension = bundle.removesuffix(b"\n").split(b"\n;\n")
    for name, content in [
        ("htmx-bundle.js", bundle),
        ("dist/htmx.min.js", htmx),
        ("dist/ext/hx-sse.min.js", extension),
    ]:
        assert recorded[name] == base64.b64encode(hashlib.sha384(content).digest()).decode(), name


def test_the_crypto_of_the_proof_page_is_the_file_its_readme_describes() -> None:
    static = ROOT / "templates/static"
    digest = base64.b64encode(hashlib.sha384((static / "proof/noble.js").read_bytes()).digest()).decode()
    assert f"| `proof/noble.js`, sha384 (base64) | `{digest}` |" in (static / "README.md").read_text(
        encoding="utf-8"
    )


def test_scripts_can_be_run() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
