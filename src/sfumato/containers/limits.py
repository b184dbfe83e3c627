"""The bounds that keep a hostile file from costing more time or memory than it deserves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound a reader checks; the defaults are far above what honest files need."""

    pickle_bytes: int = 256 << 20
    pickle_opcodes: int = 15_000_000
    """over all pickles of a file; a checkpoint with its optimizer has a tenth of them"""
    pickle_memo: int = 20_000_000
    pickle_stack: int = 1_000_000
    nesting: int = 128
    """containers inside containers in a pickled value"""
    name_bytes: int = 64 << 10
    """a tensor, member or global name"""
    nodes: int = 4_000_000
    """nodes visited when a pickled value is walked; shared values count each time"""
    tensors: int = 100_000
    rank: int = 64
    zip_entries: int = 200_000
    packed_pickle: int = 8 << 20
    """bytes a compressed pickle may unpack to; torch does not compress"""
    safetensors_header: int = 32 << 20
    metadata_value: int = 64 << 20
    gguf_keys: int = 100_000
    gguf_entries: int = 1_000_000
    """texts in an array; tokenizers have hundreds of thousands"""
    image_text: int = 64 << 20
    """bytes a compressed picture text may inflate to"""
    image_pixels: int = 64_000_000
    tar_members: int = 64


DEFAULT = Limits()
"""the bounds used unless a caller gives others"""
