"""What programs read of a hostile file: always JSON that every parser takes."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner

import ggufs
import pngs
from sfumato.app.cli import group
from test_torch_files import CALL, op, tensor
from toys import safetensors_bytes
from zips import Member, torch_zip

RUDE = "\x1b[31m\x9b2J\u202e\u2028\r\n\x07\ufeff\U000e0041"
HALF = b"X\3\0\0\0\xed\xa0\x80"
"""half a surrogate pair, as a pickle spells it"""


def real(value: float) -> bytes:
    return b"G" + struct.pack(">d", value)


NAN, INF = real(float("nan")), real(float("-inf"))


def torch_of(*pairs: bytes) -> bytes:
    return torch_zip(
        Member("archive/data/0", bytes(16)), pickle=b"\x80\2}(" + b"".join(pairs) + b"u."
    )


def lora(alpha: float) -> bytes:
    """An adapter whose strength is no number, with texts that are no numbers either."""
    stem = "lora_unet_down_blocks_0_attentions_0_proj_in"
    rows = {"lora_down.weight": [1, 2], "lora_up.weight": [2, 1], "alpha": []}
    header: dict[str, object] = {
        "__metadata__": {
            "ss_network_dim": "9" * 5000, "ss_network_alpha": "nan", "ss_clip_skip": "Infinity",
            "ss_tag_frequency": '{"x": {"a": ' + "9" * 5000 + ', "b": NaN}}',
            "modelspec.trigger_phrase": RUDE, "ss_base_model_version": "[" * 5000,
        }
    }  # fmt: skip
    for number, (name, shape) in enumerate(rows.items()):
        place = [8 * number, 8 * number + (8 if shape else 4)]
        header[f"{stem}.{name}"] = {"dtype": "F32", "shape": shape, "data_offsets": place}
    return safetensors_bytes(header, bytes(16) + struct.pack("<f", alpha))


def gguf_of_texts() -> bytes:
    keys = (ggufs.key(RUDE, ggufs.STRING, ggufs.text(RUDE)), ggufs.key("n", 6, b"\0\0\xc0\x7f"))
    return ggufs.gguf((ggufs.row(RUDE),), keys)


FILES: dict[str, Callable[[], bytes]] = {
    "no numbers": lambda: torch_of(op("a") + tensor(), op("x") + NAN, op("y") + INF, NAN + NAN),
    "half a letter": lambda: torch_of(
        HALF + tensor(), op("x") + HALF, op("y") + b"}" + HALF * 2 + b"s"
    ),
    "a wrapper of half a letter": lambda: torch_of(HALF + b"}" + op("k") + tensor() + b"s"),
    "bytes": lambda: torch_of(b"C\2\xff\x1b" + tensor(), op("x") + b"C\2\xff\xfe"),
    "large numbers": lambda: torch_of(op("a") + tensor(), op("x") + op(2**200), op(2**60) + b"N"),
    "rude names": lambda: torch_of(op(RUDE) + tensor(), op(RUDE * 2) + op(RUDE)),
    "rude calls": lambda: torch_zip(
        pickle=b"\x80\4" + op(RUDE) * 2 + b"\x93" + op(RUDE) + b"\x85R."
    ),
    "a call with what is no text": lambda: torch_zip(
        pickle=b"\x80\2" + CALL[:14] + b"(" + NAN + HALF + b"tR."
    ),
    "an adapter of no strength": lambda: lora(float("nan")),
    "an adapter without end": lambda: lora(float("inf")),
    "a rude GGUF": gguf_of_texts,
    "a rude picture": lambda: pngs.png(
        pngs.text(
            {"string_to_param": {"\ud800": {"TORCHTENSOR": [[1.0]]}}, "name": "\ud800" + RUDE}
        )
    ),
    "a rude header": lambda: safetensors_bytes({"__metadata__": {RUDE: RUDE}}),
}  # fmt: skip


def refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


@pytest.mark.parametrize("flags", [[], ["--deep", "--hash"]], ids=["quick", "deep"])
@pytest.mark.parametrize("name", FILES)
def test_a_card_is_always_json(tmp_path: Path, name: str, flags: list[str]) -> None:
    path = tmp_path / "rude.bin"
    path.write_bytes(FILES[name]())
    done = CliRunner().invoke(group, ["inspect", "--json", *flags, str(path)])
    assert isinstance(done.exception, SystemExit | None), done.exception
    card = json.loads(done.stdout_bytes.decode("utf-8"), parse_constant=refuse)
    assert card["verdict"] in ("clean", "dangerous"), card["message"]


@pytest.mark.parametrize("name", FILES)
def test_a_card_on_paper_moves_no_cursor(tmp_path: Path, name: str) -> None:
    path = tmp_path / "rude.bin"
    path.write_bytes(FILES[name]())
    done = CliRunner().invoke(group, ["inspect", "--full", str(path)])
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert all(line.isprintable() for line in done.stdout.split("\n"))


@pytest.mark.skipif(sys.platform == "win32", reason="file names are bytes there")
@pytest.mark.parametrize("flags", [["--json"], []], ids=["json", "paper"])
def test_a_rude_file_name_is_told_safely(tmp_path: Path, flags: list[str]) -> None:
    path = tmp_path / "a\x1b[2J\udcff\u202e.safetensors"
    path.write_bytes(safetensors_bytes({}))
    done = CliRunner().invoke(group, ["inspect", *flags, str(path), str(path) + "gone"])
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert all(line.isprintable() for line in done.output.split("\n") if "\x1b" in line)
