"""Formats that are known by their first bytes, and what to tell the person who has one."""

from __future__ import annotations

from dataclasses import dataclass

from sfumato.containers.model_file import GGUF, NPZ, PICTURE, Container
from sfumato.errors import BadFile, NotAModel, Unsupported


@dataclass(frozen=True, slots=True)
class Signature:
    """Bytes at a fixed place that tell a format."""

    magic: bytes
    container: Container | None
    """what is read; None for what is not"""
    sentence: str = ""
    """of what is not read: what it is, and what to do"""
    error: type[BadFile] = NotAModel
    offset: int = 0

    def fits(self, head: bytes) -> bool:
        """True for a file that begins with `head`."""
        return head.startswith(self.magic, self.offset)


def _read(magic: bytes, container: Container) -> Signature:
    return Signature(magic, container)


def _archive(magic: bytes, name: str, offset: int = 0) -> Signature:
    sentence = f"is {name}, not a model: unpack it, and look at the files inside"
    return Signature(magic, None, sentence, offset=offset)


def _picture(magic: bytes, name: str, offset: int = 0) -> Signature:
    sentence = f"is {name}, not a model; of pictures, only PNG and WebP can hold an embedding"
    return Signature(magic, None, sentence, offset=offset)


def _other(magic: bytes, sentence: str, offset: int = 0) -> Signature:
    return Signature(magic, None, sentence, offset=offset)


def _model(magic: bytes, sentence: str, offset: int = 0) -> Signature:
    return Signature(magic, None, sentence, Unsupported, offset)


_OLD_GGML = "is a ggml file from before GGUF; ask for the GGUF edition, or convert the original"
_LOSSLESS = "convert it to PNG, without loss, to read an embedding that may be hidden in it"

SIGNATURES: tuple[Signature, ...] = (
    _read(b"GGUF", GGUF),
    _read(b"\x89PNG\r\n\x1a\n", PICTURE),
    _read(b"RIFF", PICTURE),
    _read(b"\x93NUMPY", NPZ),
    _archive(b"7z\xbc\xaf\x27\x1c", "a 7-zip archive"),
    _archive(b"\x1f\x8b", "gzip-compressed data"),
    _archive(b"\xfd7zXZ\0", "xz-compressed data"),
    _archive(b"BZh", "bzip2-compressed data"),
    _archive(b"\x28\xb5\x2f\xfd", "Zstandard-compressed data"),
    _archive(b"\x04\x22\x4d\x18", "LZ4-compressed data"),
    _archive(b"Rar!\x1a\x07", "a RAR archive"),
    _archive(b"PK\5\6", "an empty zip archive"),
    _archive(b"PK\7\x08", "one part of a zip archive in several parts"),
    _model(b"\x89HDF\r\n\x1a\n", "is an HDF5 file, as Keras writes them (.h5); it is not read"),
    _model(b"lmgg", _OLD_GGML),
    _model(b"fmgg", _OLD_GGML),
    _model(b"tjgg", _OLD_GGML),
    _model(b"algg", _OLD_GGML),
    _model(b"TFL3", "is a TensorFlow Lite model, which is not read", 4),
    _model(b"PYTORCH1", "is a torch file from a preview of PyTorch 1.0, which nothing reads"),
    _picture(b"\xff\xd8\xff", "a JPEG picture"),
    _picture(b"GIF8", "a GIF picture"),
    _picture(b"\0\0\1\0", "an icon"),
    Signature(b"\xff\x0a", None, f"is a JPEG XL picture: {_LOSSLESS}", Unsupported),
    Signature(b"\0\0\0\x0cJXL ", None, f"is a JPEG XL picture: {_LOSSLESS}", Unsupported),
    Signature(b"ftypavif", None, f"is an AVIF picture: {_LOSSLESS}", Unsupported, 4),
    _other(b"ftyp", "is a video or a picture of the MPEG-4 family, not a model", 4),
    _other(b"%PDF", "is a PDF document, not a model"),
    _other(b"SQLite format 3\0", "is an SQLite database, not a model"),
    _other(b"\x7fELF", "is a Linux program or library, not a model"),
    _other(b"MZ", "is a Windows program or library, not a model: do not start it"),
    _other(b"\xcf\xfa\xed\xfe", "is a macOS program or library, not a model"),
)
"""looked through in this order"""
