"""Safetensors files that break a rule: each is refused with one sentence, and soon."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from sfumato.containers.limits import Limits
from sfumato.containers.model_file import ModelFile
from sfumato.containers.open import open_model
from sfumato.containers.safetensors.read import parse_header, read_safetensors
from sfumato.containers.save import save
from sfumato.containers.source import Source
from sfumato.containers.strict_json import JsonError
from sfumato.errors import BadFile, Damaged, Unreadable
from toys import contents, random_tensors, safetensors_bytes, write


def opened(path: Path, content: bytes, limits: Limits | None = None) -> ModelFile:
    source = Source(write(path / "bad.safetensors", content))
    return read_safetensors(source, limits or Limits())


def entry(shape: str = "[2]", offsets: str = "[0,2]", dtype: str = '"U8"') -> bytes:
    return f'{{"a":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}'.encode()


def refused(path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(Damaged, match=reason) as caught:
        opened(path, content)
    text = str(caught.value)
    assert len(text) < 1000
    assert "\n" not in text
    assert "\x1b" not in text


@pytest.mark.row(57)
@pytest.mark.parametrize(
    ("length", "reason"),
    [
        (0, "not JSON"),
        (7, "not JSON"),
        (1000, "ends inside its header"),
        (100_000_000, "ends inside its header"),
        (100_000_001, "no safetensors file has"),
        (1 << 63, "no safetensors file has"),
        ((1 << 64) - 1, "no safetensors file has"),
    ],
)
def test_a_header_length_that_lies_is_refused(tmp_path: Path, length: int, reason: str) -> None:
    refused(tmp_path, struct.pack("<Q", length) + b"{" * 21, reason)


@pytest.mark.row(57)
def test_a_header_over_the_limit_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "big.safetensors", struct.pack("<Q", 33 << 20))
    os.truncate(path, 40 << 20)
    with pytest.raises(Damaged, match="more than the limit"):
        read_safetensors(Source(path))


@pytest.mark.row(57)
def test_every_beginning_of_a_file_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", random_tensors({"a": (3,), "b": (2, 2)}), {"k": "v"})
    whole = (tmp_path / "a.safetensors").read_bytes()
    for length in range(len(whole)):
        with pytest.raises(Damaged):
            opened(tmp_path, whole[:length])


def test_a_short_file_says_how_much_is_missing(tmp_path: Path) -> None:
    refused(tmp_path, safetensors_bytes(entry(), b"x"), r"1 missing.*not complete")


@pytest.mark.row(58)
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b'{"\xff":1}', "not UTF-8"),
        (b"hello", "not JSON"),
        (b"[]", "object is expected, found list"),
        (b'"text"', "object is expected, found str"),
        (b"null", "object is expected, found NoneType"),
        (b"{", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b'{"a\x01":1}', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a":NaN}', "NaN is not"),
        (b'{"a":-Infinity}', "-Infinity is not"),
        (b"", "not JSON"),
    ],
)
def test_a_header_that_is_not_a_json_object_is_refused(
    tmp_path: Path, header: bytes, reason: str
) -> None:
    refused(tmp_path, safetensors_bytes(header), reason)


@pytest.mark.row(59)
@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
        b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
        b'{"a":{"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]}}',
        b'{"__metadata__":{},"__metadata__":{}}',
        b'{"__metadata__":{"a":"1","a":"2"}}',
        b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":{"y":1,"y":2}}}',
        b'{"\\u0061":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}',
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, header: bytes) -> None:
    refused(tmp_path, safetensors_bytes(header), "stands twice")


def two(first: str, second: str) -> bytes:
    spans = (("a", first), ("b", second))
    rows = (f'"{n}":{{"dtype":"U8","shape":[2],"data_offsets":{at}}}' for n, at in spans)
    return f"{{{','.join(rows)}}}".encode()


@pytest.mark.row(60)
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (two("[0,2]", "[1,3]"), "inside the tensor before it"),
        (two("[0,2]", "[0,2]"), "inside the tensor before it"),
        (two("[0,2]", "[3,5]"), "1 bytes before b belong to no tensor"),
        (two("[1,3]", "[3,5]"), "1 bytes before a belong to no tensor"),
        (entry(offsets="[2,0]"), "ends before it begins"),
        (entry(offsets="[0,3]"), "takes 2 bytes, its offsets 3"),
        (entry(shape="[99]", offsets="[0,99]"), "ends too early"),
        (entry(offsets="[-2,0]"), "offset that no file can have: -2"),
        (entry(offsets="[0,2.0]"), "offset that no file can have: 2.0"),
        (entry(offsets="[0,2e0]"), "offset that no file can have: 2.0"),
        (entry(offsets="[false,2]"), "offset that no file can have: false"),
        (entry(offsets="[0,18446744073709551616]"), "offset that no file can have"),
        (entry(offsets="[0,1" + "0" * 4000 + "]"), "offset that no file can have: a number of"),
        (entry(offsets="[0,1" + "0" * 5000 + "]"), "thousands of digits"),
        (entry(offsets='["0","2"]'), "offset that no file can have"),
        (entry(offsets="[0,2,4]"), "not two numbers"),
        (entry(offsets="[0]"), "not two numbers"),
        (entry(offsets="{}"), "not two numbers"),
        (entry(offsets="null"), "not two numbers"),
        (b'{"a":{"dtype":"U8","shape":[2]}}', "has no data_offsets"),
        (b'{"a":{"shape":[2],"data_offsets":[0,2]}}', "has no dtype"),
        (b'{"a":{"dtype":"U8","data_offsets":[0,2]}}', "has no shape"),
        (b'{"a":[]}', "is not an object"),
        (b'{"a":"dtype shape data_offsets"}', "is not an object"),
        (b'{"a":null}', "is not an object"),
    ],
)
def test_offsets_that_do_not_account_for_every_byte_are_refused(
    tmp_path: Path, header: bytes, reason: str
) -> None:
    refused(tmp_path, safetensors_bytes(header, b"0123456789"[:5]), reason)


@pytest.mark.row(61)
@pytest.mark.parametrize(
    ("tail", "what"),
    [
        (b"PK\x03\x04" + bytes(30), "a zip archive"),
        (b"comment" + b"PK\x05\x06" + bytes(18), "a zip archive"),
        (b"\x80\x02cos\nsystem\n.", "a pickle"),
        (b"\x80\x04.", "a pickle"),
        (bytes(64), "padding"),
        (b" \n", "padding"),
        (b"\x7fELF\x02", "a Linux program"),
        (b"0123", "data of another kind"),
    ],
)
def test_bytes_after_the_data_are_refused_and_named(tmp_path: Path, tail: bytes, what: str) -> None:
    reason = f"^.*{len(tail)} bytes after the last tensor .* look like {what}$"
    refused(tmp_path, safetensors_bytes(entry(), b"xy" + tail), reason)


@pytest.mark.row(62)
@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ("[4294967296,4294967296]", "too large for any memory"),
        ("[4294967296,4294967296,0]", "too large for any memory"),
        ("[0,9223372036854775808]", "no tensor can have: 9223372036854775808"),
        ("[0,9223372036854775807]", "too large for any memory|takes 0 bytes"),
        ("[-1,-2]", "no tensor can have: -1"),
        ("[2.0]", "no tensor can have: 2.0"),
        ("[true,2]", "no tensor can have: true"),
        ("[null]", "no tensor can have: null"),
        ("[[2]]", "no tensor can have"),
        ('["2"]', "no tensor can have"),
        ("2", "not a list: 2"),
        ('"2"', "not a list"),
        ("{}", "not a list"),
        ("null", "not a list: null"),
        ("[" + ",".join(["1"] * 65) + "]", "65 dimensions, more than the limit"),
        ("[" + ",".join(["4611686018427387904"] * 100_000) + "]", "100000 dimensions"),
    ],
)
def test_shapes_that_no_tensor_can_have_are_refused(
    tmp_path: Path, shape: str, reason: str
) -> None:
    refused(tmp_path, safetensors_bytes(entry(shape), b"xy"), reason)


@pytest.mark.row(63)
@pytest.mark.parametrize(
    ("dtype", "reason"),
    [
        ('"F31"', 'unknown dtype "F31"'),
        ('"C128"', 'unknown dtype "C128"'),
        ('"f32"', "unknown dtype"),
        ('"\\u001b[31m\\n"', "unknown dtype"),
        ("32", "unknown dtype 32"),
        ("null", "unknown dtype null"),
        ("[]", "unknown dtype"),
        ('{"a":[]}', "unknown dtype an object"),
    ],
)
def test_types_the_format_has_not_are_refused(tmp_path: Path, dtype: str, reason: str) -> None:
    refused(tmp_path, safetensors_bytes(entry(dtype=dtype), b"xy"), reason)


@pytest.mark.row(63)
@pytest.mark.parametrize(("dtype", "shape"), [("F4", "[1,3]"), ("F6_E2M3", "[2]")])
def test_small_types_that_do_not_fill_bytes_are_refused(
    tmp_path: Path, dtype: str, shape: str
) -> None:
    refused(
        tmp_path, safetensors_bytes(entry(shape, dtype=f'"{dtype}"'), b"xy"), "fill whole bytes"
    )


@pytest.mark.row(64)
@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (b"[]", "not an object"),
        (b'"text"', "not an object"),
        (b"3", "not an object"),
        (b'{"a":1}', "value of a is 1, not text"),
        (b'{"a":null}', "value of a is null, not text"),
        (b'{"a":{"b":"c"}}', "value of a is an object, not text"),
        (b'{"\\u001b[2J":[[[]]]}', "is a list, not text"),
        (b'{"a":"\\ud800"}', "half a surrogate"),
    ],
)
def test_metadata_that_is_not_text_is_refused(tmp_path: Path, metadata: bytes, reason: str) -> None:
    refused(tmp_path, safetensors_bytes(b'{"__metadata__":' + metadata + b"}"), reason)


@pytest.mark.row(64)
def test_metadata_may_be_long_and_ugly(tmp_path: Path) -> None:
    ugly = "\x1b[31m\u202e" + "x" * (30 << 20)
    with opened(tmp_path, safetensors_bytes({"__metadata__": {"a": ugly}})) as model:
        assert model.metadata["a"] == ugly


@pytest.mark.row(65)
@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("", ""),
        ("../x", "look like paths"),
        ("a/../x", "look like paths"),
        ("/etc/passwd", "look like paths"),
        ("C:\\x", "look like paths"),
        ("\x1b[31m\n", "contain control characters"),
        ("\u202eabc", "contain control characters"),
        ("model.diffusion_model.out.0.weight", ""),
        ("模型", ""),
    ],
)
def test_odd_names_are_readable_and_noted(tmp_path: Path, name: str, note: str) -> None:
    header = {name: {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}
    with opened(tmp_path, safetensors_bytes(header, b"xy")) as model:
        assert model[name].read() == b"xy"
        assert note in " ".join(model.notes)
        assert len(model.notes) == bool(note)
        assert not {"\x1b", "\u202e", "\n"} & set("".join(model.notes))


@pytest.mark.row(65)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\0b", "NUL"),
        ("x" * (1 << 20), "1048576 characters"),
        ("\ud800", "half a surrogate"),
    ],
)
def test_names_that_cannot_be_written_again_are_refused(
    tmp_path: Path, name: str, reason: str
) -> None:
    header = {name: {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}
    refused(tmp_path, safetensors_bytes(header, b"xy"), reason)


@pytest.mark.row(65)
def test_names_that_differ_in_case_are_two_tensors(tmp_path: Path) -> None:
    header = two("[0,2]", "[2,4]").replace(b'"b"', b'"A"')
    with opened(tmp_path, safetensors_bytes(header, b"wxyz")) as model:
        assert [model[name].read() for name in ("a", "A")] == [b"wx", b"yz"]


@pytest.mark.row(65)
def test_a_million_names_are_over_the_limit(tmp_path: Path) -> None:
    one = '"{:06d}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
    header = ("{" + ",".join(map(one.format, range(1_000_000))) + "}").encode()
    refused(tmp_path, safetensors_bytes(header), "more than the limit of 33554432")
    few = ("{" + ",".join(map(one.format, range(11))) + "}").encode()
    with pytest.raises(JsonError, match="11 tensors, more than the limit of 10"):
        parse_header(few, Limits(tensors=10))


@pytest.mark.row(66)
@pytest.mark.parametrize("bomb", [b"[" * 1_000_000, b'{"a":' * 200_000, b'{"a":[' + b"[" * 10**6])
def test_a_header_nested_a_million_deep_is_refused(tmp_path: Path, bomb: bytes) -> None:
    refused(tmp_path, safetensors_bytes(bomb), "nested too deeply")


@pytest.mark.row(66)
@pytest.mark.parametrize("unit", [b"[],", b"{},", b"0,"])
def test_a_header_of_millions_of_values_is_refused(tmp_path: Path, unit: bytes) -> None:
    bomb = b'{"a":[' + unit * (9_000_000 // len(unit)) + b"0]}"
    refused(tmp_path, safetensors_bytes(bomb), "more than 1200000 values")


@pytest.mark.row(72)
def test_a_file_that_shrinks_while_it_is_open_is_damaged(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", random_tensors({"a": (300,)}))
    with read_safetensors(Source(tmp_path / "a.safetensors")) as model:
        os.truncate(tmp_path / "a.safetensors", 200)
        with pytest.raises(Damaged, match="ended at offset 200 while it was being read"):
            model["a"].read()
        with pytest.raises(Damaged, match="while it was being read"):
            contents(model)


@pytest.mark.row(72)
def test_a_file_that_grows_while_it_is_open_reads_as_before(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save(path, random_tensors({"a": (300,)}))
    with Source(path) as source, read_safetensors(source) as model:
        before = contents(model)
        path.write_bytes(path.read_bytes() + b"more")
        assert contents(model) == before
        assert source.changed()


@pytest.mark.row(72)
def test_a_read_error_is_unreadable_and_leaves_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a.safetensors", random_tensors({"a": (300,), "b": (300,)}))
    with read_safetensors(Source(tmp_path / "a.safetensors")) as model:
        real = os.pread

        def failing(descriptor: int, size: int, offset: int) -> bytes:
            if offset > 1000:
                raise OSError(5, "Input/output error")
            return real(descriptor, size, offset)

        monkeypatch.setattr(os, "pread", failing)
        with pytest.raises(Unreadable, match="Input/output error"):
            save(tmp_path / "b.safetensors", model)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_closed_model_says_so(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", random_tensors({"a": (3,)}))
    with read_safetensors(Source(tmp_path / "a.safetensors")) as model:
        tensor = model["a"]
    with pytest.raises(Unreadable, match="was closed"):
        tensor.read()


@pytest.mark.row(6)
@pytest.mark.parametrize("text", [b'{"a": 1, "b": [2, 3]}', b"[1, 2, 3, 4]", b'{"weight_map": {}}'])
def test_json_with_the_name_of_a_safetensors_file_is_refused(tmp_path: Path, text: bytes) -> None:
    refused(tmp_path, text, "no safetensors file has")
    with pytest.raises(BadFile):
        open_model(tmp_path / "bad.safetensors")


@pytest.mark.row(2)
@pytest.mark.parametrize("length", range(8))
def test_a_file_of_less_than_eight_bytes_is_refused(tmp_path: Path, length: int) -> None:
    refused(tmp_path, b"abcdefg"[:length], f"has {length} bytes, too few")
