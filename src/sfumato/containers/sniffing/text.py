"""Text under the name of a model: what it says, and what it says about what went wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sfumato.containers.model_file import SHARDED, Container
from sfumato.containers.sizes import human
from sfumato.containers.source import Source
from sfumato.containers.strict_json import Json, JsonError, parse_json
from sfumato.containers.text import escape
from sfumato.errors import BadFile, Damaged, NotAModel

FIRST = 64 << 10
"""bytes of a web page that are searched"""

JSON = 32 << 20
"""bytes of a JSON text that are parsed"""

LFS = b"version https://git-lfs.github.com/spec/"
REPLACED = b"\xef\xbf\xbd"
"""UTF-8 of the character that stands for bytes that are no text"""

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_TITLE = re.compile(rb"<title[^>]{0,200}>(.{0,300}?)</title>", re.IGNORECASE | re.DOTALL)
_CLOUD_ERROR = re.compile(rb"<Code>(\w{1,60})</Code>")


@dataclass(frozen=True, slots=True)
class JsonSort:
    """A sort of JSON file that is known by its keys."""

    keys: frozenset[str]
    """any of them tells the sort"""
    sentence: str


JSON_SORTS = (
    JsonSort(
        frozenset({"_class_name"}),
        "is the configuration of a diffusers model; the weights lie beside it: give its folder",
    ),
    JsonSort(
        frozenset({"model_type", "architectures", "transformers_version"}),
        "is the configuration of a transformers model; the weights lie beside it: give its folder",
    ),
    JsonSort(
        frozenset({"modelId", "modelVersions", "civitai"}),
        "is a description from a model site, a side file; the model lies beside it",
    ),
    JsonSort(
        frozenset({"activation text", "preferred weight", "sd version"}),
        "is a user's notes on a model, a side file; the model lies beside it",
    ),
    JsonSort(frozenset({"last_node_id", "nodes"}), "is a ComfyUI workflow, not a model"),
)
"""looked through in this order"""


def sniff_text(source: Source, head: bytes) -> Container | None:
    """SHARDED for the index of a sharded set, None for what is not text.

    Raises NotAModel for all other text, with a sentence on what it is.
    """
    bare = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(LFS):
        raise NotAModel(source.path, _pointer(head))
    if bare[:1] == b"<" and is_text(head):
        raise NotAModel(source.path, _page(source))
    if bare[:1] in (b"{", b"[") and is_text(head):
        return _json(source)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and len(head) > 2:
        raise NotAModel(source.path, "is text in UTF-16, not a model")
    if is_text(head):
        raise NotAModel(source.path, _plain(head))
    if REPLACED in head[:64]:
        check_bytes(source, head)
    return None


def check_bytes(source: Source, head: bytes) -> None:
    """Raises Damaged for a file of bytes that some program took for text and changed."""
    if head.count(REPLACED) > 2:
        change = "replaced"
    elif len(head) > 256 and max(head) < 0x80:
        change = "removed"
    else:
        return
    raise Damaged(
        source.path,
        f"was treated as text on its way: its bytes above 127 have been {change}; "
        "download it again, as it is",
    )


def is_text(head: bytes) -> bool:
    """True for the beginning of a text in UTF-8."""
    if _CONTROL.search(head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # The last character may be cut off.
        return error.start > len(head) - 4 and error.reason == "unexpected end of data"
    return True


def _pointer(head: bytes) -> str:
    facts = dict(line.split(b" ", 1) for line in head.splitlines()[:8] if b" " in line)
    digits = facts.get(b"size", b"")
    size = int(digits) if digits.isdigit() and len(digits) < 19 else 0
    oid = escape(facts.get(b"oid", b"").decode("utf-8", "replace").removeprefix("sha256:"), 64)
    return (
        f"is a Git LFS pointer: text that stands for a file of {human(size)} ({size} bytes) with "
        f"SHA-256 {oid or 'unknown'}; fetch the file itself with `git lfs pull`, or download it "
        "from the web page"
    )


def _page(source: Source) -> str:
    text = source.read(0, min(source.size, FIRST))
    code = _CLOUD_ERROR.search(text)
    if code:
        return (
            f"is the error message of a file server ({escape(code[1].decode())}), saved in place "
            "of the model; the link has expired or needs a login"
        )
    lower = text.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if lower.startswith(b"<svg") or (lower.startswith(b"<?xml") and b"<html" not in lower):
        return "is XML, not a model"
    title = _TITLE.search(text)
    name = escape(" ".join(title[1].decode("utf-8", "replace").split()), 100) if title else ""
    told = f" with the title “{name}”" if name else ""
    return (
        f"is a web page{told}, saved in place of the model: the download needs a login, or the "
        "link was to the page that shows the file; download it again in a browser"
    )


def _json(source: Source) -> Container:
    if source.size > JSON:
        raise NotAModel(source.path, f"is {human(source.size)} of text that begins like JSON")
    raw = source.read(0, source.size)
    try:
        value = parse_json(raw.removeprefix(b"\xef\xbb\xbf"))
    except JsonError as error:
        raise _broken_json(source, raw, error) from error
    if isinstance(value, dict) and "weight_map" in value:
        return SHARDED
    raise NotAModel(source.path, _json_sentence(value))


def _broken_json(source: Source, raw: bytes, error: JsonError) -> BadFile:
    if b'"data_offsets"' in raw[:FIRST]:
        return Damaged(
            source.path, "is a safetensors file that has lost the eight bytes before its header"
        )
    return NotAModel(source.path, f"is text that begins like JSON and is none: {error}")


def _json_sentence(value: Json) -> str:
    if not isinstance(value, dict):
        return "is JSON text, not a model"
    for sort in JSON_SORTS:
        if sort.keys & value.keys():
            return sort.sentence
    for key in ("error", "message", "detail"):
        told = value.get(key)
        if isinstance(told, str):
            return (
                f"is the error message of a server (“{escape(told)}”), saved in place of the model"
            )
    if any(isinstance(node, dict) and "class_type" in node for node in value.values()):
        return "is a ComfyUI workflow, not a model"
    if any(isinstance(entry, dict) and "data_offsets" in entry for entry in value.values()):
        return "is the header of a safetensors file as text, without the tensors"
    keys = ", ".join(escape(key, 40) for key in list(value)[:4])
    return f"is JSON text, not a model (its keys: {keys or 'none'})"


def _plain(head: bytes) -> str:
    text = head.decode("utf-8", "replace").removeprefix("\ufeff").strip()
    line = text.splitlines()[0] if text else ""
    if not line:
        return "is blank text, not a model"
    return f"is text, not a model; it begins: “{escape(line, 80)}”"
