"""CLIP's tokenizer as the files of a diffusers folder."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sfumato.catalogue.tokenizer.table import END, START, merges_text, vocabulary

LENGTH = 77
"""tokens that a text encoder takes at once"""

OPENCLIP_PAD = "!"
"""number 0: what OpenCLIP's encoders (SD2, SDXL's second) were trained to be padded with"""


def tokenizer_files(*, pad: str = END) -> dict[str, bytes]:
    """Name → bytes of the four files that transformers' CLIPTokenizer reads.

    pad: the token that fills a text up; OPENCLIP_PAD for SD2 and SDXL's second text encoder.
    """
    return {
        "vocab.json": json.dumps(vocabulary(), ensure_ascii=False, separators=(",", ":")).encode(),
        "merges.txt": f"#version: 0.2\n{merges_text()}\n".encode(),
        "special_tokens_map.json": _json(_special(pad)),
        "tokenizer_config.json": _json(_config(pad)),
    }


def _special(pad: str) -> dict[str, object]:
    token = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    return {
        "bos_token": {"content": START, **token},
        "eos_token": {"content": END, **token},
        "pad_token": pad,
        "unk_token": {"content": END, **token},
    }


def _config(pad: str) -> dict[str, object]:
    return {
        "add_prefix_space": False,
        "bos_token": START,
        "do_lower_case": True,
        "eos_token": END,
        "errors": "replace",
        "model_max_length": LENGTH,
        "pad_token": pad,
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": END,
    }


def _json(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
