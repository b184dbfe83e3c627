"""The heaviest of the bad inputs: each ends soon, in little memory, with an answer in JSON."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ggufs
import pngs
import tables
from opcodes import call, data, get, global_, long_put, pickle, text
from test_torch_files import dictionary, legacy, op, storage, tensor
from toys import safetensors_bytes
from zips import Member, assemble, end64, torch_zip

SECONDS = 2.0
SLACK = 5.0
"""how much slower than a quiet desktop machine a shared, busy one that runs this may be"""
MEGABYTES = 200
"""above an interpreter that does nothing"""
ADDRESSES = 1 << 30
"""bytes of address space; what reserves more than it should fails here, even if it never uses it"""

CHILD = """
import resource, sys, time
def peak():
    # not ru_maxrss, which begins at that of the process that started this one
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
idle, started = peak(), time.perf_counter()
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from sfumato.app.cli import main
try:
    sys.argv[1:] = ["inspect", "--json", *sys.argv[2:]]
    main()
finally:
    print(time.perf_counter() - started, peak() - idle, file=sys.stderr)
"""


@dataclass(frozen=True)
class Ran:
    """What one inspection cost, and what it said."""

    seconds: float
    megabytes: float
    card: dict[str, Any]


def inspected(path: Path) -> Ran:
    """`sfumato inspect --json` of the file, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(ADDRESSES), str(path)],
        capture_output=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        timeout=120,
    )
    *said, cost = done.stderr.decode().splitlines()
    assert not said, said[-3:]
    seconds, kilobytes = cost.split()
    return Ran(float(seconds), int(kilobytes) / 1024, json.loads(done.stdout))


# ------------------------------------------------------------------------- pickles


def laughs(kind: str) -> bytes:
    """Ten of ten of ten …: a few hundred bytes that unfold to billions of values."""
    out = b"\x80\2" + b"]q\0"
    for level in range(12):
        again, keep = get(level), b"q" + bytes([level + 1])
        if kind == "list":
            out += b"]" + keep + b"(" + again * 10 + b"e"
        elif kind == "tuple":
            out += b"(" + again * 10 + b"t" + keep
        else:
            items = b"".join(op(f"k{number}") + again for number in range(10))
            out += call(global_("collections", "OrderedDict")) + keep + b"(" + items + b"u"
    return out + b"."


def names_that_grow() -> bytes:
    """Keys of 60,000 letters in each other: every tensor below has a name of a megabyte."""
    key = text("k" * 60_000)
    return pickle(key + b"q\0" + (b"}" + get(0)) * 100 + tensor() + b"s" * 100)


def nested(kind: bytes, count: int = 10**6) -> bytes:
    levels = {b"l": b"(" * count + b"l" * count, b"t": b")" + b"\x85" * count}
    return b"\x80\2" + levels[kind] + b"."


def nested_dicts(count: int = 300_000) -> bytes:
    return b"\x80\2" + b"}K\0" * count + b"N" + b"s" * count + b"."


def full_memo() -> bytes:
    return b"\x80\2]" + b"".join(long_put(index) for index in range(1_000_000)) + b"."


def hash_bomb() -> bytes:
    """A tuple of twins of twins, as a key."""
    return b"\x80\2})q\0" + b"h\0h\0\x86q\0" * 64 + b"Ns."


def colliding_numbers() -> bytes:
    """Whole numbers that fall into the same place of a hash table."""
    step = (1 << 61) - 1
    keys = b"".join(b"\x8a\x08" + struct.pack("<q", k * step) + b"N" for k in range(-3, 4))
    many = b"".join(b"\x8a\x08" + struct.pack("<q", k << 32) + b"N" for k in range(200_000))
    return b"\x80\2}(" + keys + many + b"u."


def many_records() -> bytes:
    one = call(global_("argparse", "Namespace")) + b"}" + op("a") + op(1) + b"sb"
    return b"\x80\2](" + one * 60_000 + b"e."


def many_refusals() -> bytes:
    return b"\x80\2](" + (global_("os", "system") + b"(" + op("id") + b"tR") * 200_000 + b"e."


def many_names() -> bytes:
    return b"\x80\2](" + b"".join(global_("os", f"f{n:07}") for n in range(200_000)) + b"e."


def opcodes_for_nothing() -> bytes:
    return b"\x80\2" + b"N0" * 30_000_000 + b"N."


def pickles_in_literals() -> bytes:
    """Literals that look like pickles and are walked for what they would do, as often as may be."""
    inner = b"\x80\2" + b"N0" * 50_000 + b"N."
    middle = b"\x80\2" + b"".join(data(inner) + b"0" for _ in range(64)) + b"N."
    return b"\x80\2](" + data(middle) * 8 + b"e."


def many_pickles() -> bytes:
    """A file of pickles of nothing."""
    return b"\x80\2N." + b"N." * 20_000_000


def marks_for_nothing() -> bytes:
    return b"\x80\2" + b"(1" * 3_000_000 + b"N."


def repeated_state() -> bytes:
    """One large dictionary set into an object again and again."""
    big = b"}q\0(" + b"".join(op(n) + b"N" for n in range(1000)) + b"u"
    return b"\x80\2" + big + call(global_("collections", "OrderedDict")) + b"h\0b" * 500_000 + b"."


def copied_bytes() -> bytes:
    """One large string made into bytes again and again."""
    big = text("x" * (8 << 20)) + b"q\0"
    encode = global_("_codecs", "encode") + b"h\0" + op("latin1") + b"\x86R"
    return b"\x80\2" + big + b"](" + encode * 10_000 + b"e."


def long_numbers() -> bytes:
    return b"\x80\2](" + b"".join(b"L" + b"9" * 4000 + b"L\n" for _ in range(2000)) + b"e."


def records_in_a_ring() -> bytes:
    """Objects of which each leads to all the others."""
    count = 700
    make = call(global_("omegaconf.dictconfig", "DictConfig"))
    out = b"\x80\2]q\0(" + b"".join(make + long_put(n + 1) for n in range(count)) + b"e0"
    for n in range(count):
        fetch = b"j" + struct.pack("<I", n + 1)
        out += fetch + b"h\0b0"
    return out + b"h\0."


def blobs_in_blobs() -> bytes:
    """A torch file in bytes in a torch file, and forty of them at each of three levels."""
    inner = torch_zip(Member("archive/data/0", bytes(16)), pickle=dictionary(tensor()))
    for _ in range(3):
        raw = data(inner) + b"q\0"
        load = global_("torch.storage", "_load_from_bytes") + b"h\0\x85R"
        inner = b"\x80\3" + raw + b"](" + load * 40 + b"e."
    return inner


# ------------------------------------------------------------------------- torch archives


def torch_file(stream: bytes, size: int = 16) -> bytes:
    return torch_zip(Member("archive/data/0", bytes(size)), pickle=stream)


def shared_storage() -> bytes:
    one = b"\x80\2}(" + op("w") + tensor() + b"q\xff"
    return one + b"".join(b"X\6\0\0\0%06d" % n + b"h\xff" for n in range(99_000)) + b"u."


def many_views() -> bytes:
    """A hundred thousand tensors, each made on its own out of one storage."""
    kept = storage() + long_put(9999)
    again = b"j" + struct.pack("<I", 9999)
    views = b"".join(b"X\6\0\0\0%06d" % n + tensor(again) for n in range(60_000))
    return b"\x80\2" + kept + b"0}(" + views + b"u."


def wide_view() -> bytes:
    return dictionary(tensor(shape=(2**60,), strides=(0,)))


def many_members(count: int = 200_001) -> bytes:
    members = [Member("archive/data.pkl", b"\x80\2}.")]
    members += [Member(f"archive/data/{index}") for index in range(count - 1)]
    start = sum(30 + len(member.raw_name) + len(member.data) for member in members)
    size = sum(46 + len(member.raw_name) for member in members)
    wide = end64(count, size, start, start + size)
    return assemble(members, count=0xFFFF, zip64=wide)


def zip_bomb() -> bytes:
    return torch_zip(Member("archive/data/0", bytes(100 << 20), method=8), pickle=dictionary(tensor(
        storage(numel=25 << 20), shape=(25 << 20,)
    )))  # fmt: skip


def pickle_bomb() -> bytes:
    """A packed pickle of 200 MB."""
    stream = b"\x80\2" + b"N0" * (100 << 20) + b"N."
    return torch_zip(pickle=stream, method=8)


def ballast() -> bytes:
    """A member of zeros that makes the archive large, so that much may be unpacked."""
    stream = b"\x80\2" + b"N0" * (60 << 20) + b"N."
    return torch_zip(Member("archive/data/0", bytes(20 << 20)), pickle=stream, method=8)


def overlapping_pickles() -> bytes:
    """A thousand members that are the same packed pickle."""
    stream = b"\x80\2" + b"N0" * (8 << 20) + b"N."
    first = Member("archive/data.pkl", stream, method=8)
    size, crc = len(first.stored), zlib.crc32(stream)
    twin = {"header": 0, "packed": size, "size": len(stream), "crc": crc, "local_method": 8}
    again = [Member(f"archive/{n}.pkl", method=8, **twin) for n in range(999)]
    return assemble([first, *again])


# ------------------------------------------------------------------------- safetensors and GGUF


def crowded_header(count: int) -> bytes:
    rows = (f'"{n}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for n in range(count))
    return safetensors_bytes(("{" + ",".join(rows) + "}").encode())


def crowded_metadata() -> bytes:
    rows = (f'"{n}":""' for n in range(599_000))
    return safetensors_bytes(('{"__metadata__":{' + ",".join(rows) + "}}").encode())


def long_metadata() -> bytes:
    return safetensors_bytes({"__metadata__": {"a": "\x1b\u202e" * 2_500_000}})


def crowded_lists() -> bytes:
    """Values that need much memory, and are no tensors."""
    return safetensors_bytes(b'{"a":[' + b"{}," * 590_000 + b"{}]}")


def broad_shape() -> bytes:
    return safetensors_bytes(b'{"a":{"dtype":"U8","shape":[' + b"1," * 1_190_000 + b"1]}}")


def long_names() -> bytes:
    row = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    return safetensors_bytes({f"{n}" + "n" * 60_000: row for n in range(500)})


def many_keys() -> bytes:
    keys = tuple(ggufs.key(f"{n}") for n in range(100_000))
    return ggufs.gguf(keys=keys)


def many_rows() -> bytes:
    return ggufs.gguf(tuple(ggufs.row(f"{n}", (0,)) for n in range(100_000)))


def long_array() -> bytes:
    value = struct.pack("<IQ", 4, 20_000_000) + bytes(80_000_000)
    return ggufs.gguf(keys=(ggufs.key("a", ggufs.ARRAY, value),))


def many_texts() -> bytes:
    value = struct.pack("<IQ", 8, 1_000_000) + bytes(8_000_000)
    return ggufs.gguf(keys=(ggufs.key("a", ggufs.ARRAY, value),))


# ------------------------------------------------------------------------- pictures


def packed_text(size: int) -> bytes:
    body = b"sd-ti-embedding\0\0" + zlib.compress(bytes(size), 9)
    return pngs.png(pngs.chunk(b"zTXt", body))


def vast_picture(side: int) -> bytes:
    rows = zlib.compressobj(9)
    row = b"\0" + bytes(3 * side)
    packed = b"".join(rows.compress(row) for _ in range(side)) + rows.flush()
    return pngs.png(head=pngs.header(side, side), pixels=pngs.chunk(b"IDAT", packed))


def many_chunks() -> bytes:
    return pngs.png(pngs.chunk(b"tEXt", b"a\0b") * 1_000_000)


def wide_embedding() -> bytes:
    row = [[0.0] * 768] * 1500
    return pngs.png(pngs.text({"string_to_param": {"*": {"TORCHTENSOR": row}}}))


# ------------------------------------------------------------------------- tables


def snappy_bomb(claim: int) -> bytes:
    """A block of copies of copies: sixty-four bytes for three."""
    content = tables.varint(claim) + b"\0a" + b"\xfe\1\0" * (claim // 64)
    stored = content + tables.trailer(content, 1)
    place = tables.varint(0) + tables.varint(len(content))
    index = tables.block({b"~": place})
    where = tables.varint(len(stored)) + tables.varint(len(index))
    return stored + index + tables.trailer(index) + tables.footer(b"\0\0" + where)


def many_entries() -> bytes:
    header = tables.number(1, 1) + tables.message(3, tables.number(1, 1))
    rows = {b"": header} | {b"%06d" % n: b"" for n in range(200_000)}
    return tables.table(rows, per_block=1000)


# ------------------------------------------------------------------------- other files


def many_arrays() -> bytes:
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }"
    array = b"\x93NUMPY\1\0" + struct.pack("<H", 118) + head.ljust(117) + b"\n"
    members = [Member(f"{n}.npy", array) for n in range(60_000)]
    return assemble(members)


def wide_index() -> bytes:
    places = {f"t{n}": f"{n}.safetensors" for n in range(400_000)}
    return json.dumps({"weight_map": places}).encode()


def long_json() -> bytes:
    return b'{"weight_map": {"a": "' + b"\\u0041" * 10_000_000 + b'"}}'


def nested_arrays() -> bytes:
    """Arrays of arrays of nothing."""
    value = struct.pack("<IQ", 9, 100_000) + struct.pack("<IQ", 4, 0) * 100_000
    return ggufs.gguf(keys=(ggufs.key("a", ggufs.ARRAY, value),))


def many_storages() -> bytes:
    """A legacy file whose pickle names storages that its list does not."""
    one = b"".join(op(f"w{n}") + tensor(storage(f"{n}")) for n in range(30_000))
    return legacy(b"\x80\2}(" + one + b"u.")


HEAVY: dict[str, tuple[str, Callable[[], bytes]]] = {
    "lists of lists": ("pt", lambda: torch_file(laughs("list"))),
    "tuples of tuples": ("pkl", lambda: laughs("tuple")),
    "dictionaries of dictionaries": ("pkl", lambda: laughs("dict")),
    "a tree of long names": ("pt", lambda: torch_file(names_that_grow())),
    "a million lists in lists": ("pt", lambda: torch_file(nested(b"l"))),
    "a million tuples in tuples": ("pkl", lambda: nested(b"t")),
    "dictionaries deep in each other": ("pkl", nested_dicts),
    "a deep key": ("pkl", lambda: b"\x80\2})" + b"\x85" * 1_000_000 + b"Ns."),
    "a key of twins": ("pkl", hash_bomb),
    "numbers that collide": ("pkl", colliding_numbers),
    "a full memo": ("pkl", full_memo),
    "a full stack": ("pkl", lambda: b"\x80\2" + b"N" * 30_000_000 + b"."),
    "a list of Nones": ("pkl", lambda: b"\x80\2](" + b"N" * 990_000 + b"e."),
    "objects": ("pkl", many_records),
    "refused calls": ("pkl", many_refusals),
    "refused names": ("pkl", many_names),
    "opcodes for nothing": ("pkl", opcodes_for_nothing),
    "pickles of nothing": ("pkl", many_pickles),
    "pickles in literals": ("pkl", pickles_in_literals),
    "overlapping packed pickles": ("pt", overlapping_pickles),
    "marks for nothing": ("pkl", marks_for_nothing),
    "a state set again and again": ("pkl", repeated_state),
    "bytes made again and again": ("pkl", copied_bytes),
    "long numbers": ("pkl", long_numbers),
    "objects in rings": ("pkl", records_in_a_ring),
    "files in files": ("pkl", blobs_in_blobs),
    "one tensor under many names": ("pt", lambda: torch_file(shared_storage())),
    "many views": ("pt", lambda: torch_file(many_views())),
    "a view without end": ("pt", lambda: torch_file(wide_view())),
    "members": ("pt", many_members),
    "as many members as may be": ("pt", lambda: many_members(199_999)),
    "packed zeros": ("pt", zip_bomb),
    "a packed pickle": ("pt", pickle_bomb),
    "a packed pickle beside ballast": ("pt", ballast),
    "280,000 tensors": ("safetensors", lambda: crowded_header(280_000)),
    "100,000 tensors": ("safetensors", lambda: crowded_header(100_000)),
    "crowded metadata": ("safetensors", crowded_metadata),
    "long metadata": ("safetensors", long_metadata),
    "lists of nothing": ("safetensors", crowded_lists),
    "a broad shape": ("safetensors", broad_shape),
    "long names": ("safetensors", long_names),
    "brackets": ("safetensors", lambda: safetensors_bytes(b"[" * 10**6)),
    "braces": ("safetensors", lambda: safetensors_bytes(b'{"a":' * 10**6)),
    "endless counts": ("gguf", lambda: ggufs.gguf(counts=((1 << 64) - 1, (1 << 64) - 1))),
    "keys": ("gguf", many_keys),
    "rows": ("gguf", many_rows),
    "a long array": ("gguf", long_array),
    "an array of texts": ("gguf", many_texts),
    "packed text": ("png", lambda: packed_text(400 << 20)),
    "packed text just small enough": ("png", lambda: packed_text(60 << 20)),
    "a vast picture": ("png", lambda: vast_picture(7900)),
    "chunks": ("png", many_chunks),
    "a wide embedding": ("png", wide_embedding),
    "a snappy bomb": ("index", lambda: snappy_bomb(1 << 30)),
    "a small snappy bomb": ("index", lambda: snappy_bomb(60 << 20)),
    "entries": ("index", many_entries),
    "arrays": ("npz", many_arrays),
    "parts": ("safetensors.index.json", wide_index),
    "a long name of a part": ("safetensors.index.json", long_json),
    "arrays of arrays": ("gguf", nested_arrays),
    "storages": ("pt", many_storages),
}


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> Iterator[None]:
    """Compiling the package once is no part of what a file costs."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", "src/sfumato"], check=False)
    yield


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures as Linux does")
@pytest.mark.row(19, 24, 31, 32, 34, 35, 36, 37, 38, 65, 66, 68, 69, 71)
@pytest.mark.parametrize("name", HEAVY)
def test_what_is_heavy_ends_soon_and_takes_little(tmp_path: Path, name: str) -> None:
    suffix, build = HEAVY[name]
    path = tmp_path / f"heavy.{suffix}"
    path.write_bytes(build())
    ran = inspected(path)
    assert (ran.seconds < SECONDS * SLACK, ran.megabytes < MEGABYTES) == (True, True), ran
