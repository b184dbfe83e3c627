"""What a record tells and a request has no place for, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sfumato.containers.text import escape
from sfumato.engine.pictures.settings import SETTINGS

SPECIAL = (
    "Size", "Eta", "Eta DDIM", "RNG", "Pad conds", "Pad conds v0", "Denoising strength",
    "Hires denoising strength", "Mask blur", "Mask blur x", "Mask blur y",
)  # fmt: skip
"""keys that are read with the others in mind"""

QUIET = (
    "Model hash", "VAE hash", "Lora hashes", "TI hashes", "Hypernet hashes", "Hashes",
    "Init image hash", "Version", "User", "Batch size", "Batch pos", "Civitai resources",
    "Civitai metadata", "Created Date", "App", "Backend", "Parser", "Operations", "Template",
    "Negative Template",
)  # fmt: skip
"""keys that change no pixel of the picture"""

NEUTRAL = (
    ("VAE Encoder", "Full"), ("VAE Decoder", "Full"), ("FP8 weight", "Disable"),
    ("Token merging ratio", "0"), ("Token merging ratio hr", "0"), ("Masked content", "original"),
    ("Hires checkpoint", "Use same checkpoint"), ("Emphasis", "Original"),
)  # fmt: skip
"""values that say what is so without them"""

SENTENCES: tuple[tuple[str, str], ...] = (
    ("Face restoration", "faces were restored by {value}, which is not done here"),
    ("Soft inpainting", "soft inpainting is not done here"),
    ("Old emphasis", "brackets were counted in the way of 2022; here they are in today's"),
    ("Hypertile", "HyperTile is not done here; the picture differs a little"),
    ("Token merging", "tokens were merged ({value}) for speed; here they are not"),
    ("FP8 weight", "weights were kept in 8 bits ({value}); here they are not"),
    ("Cache FP16 weight", "LoRAs were added in half precision; here they are not"),
    ("Precision", "the networks computed in {value}; in another precision the picture differs"),
    ("Hires checkpoint", "the second pass used another checkpoint, {value}"),
    ("Hires CFG", "the second pass had a CFG scale of its own, {value}"),
    ("VAE Encoder", "the picture was encoded by {value}; here the VAE does"),
    ("VAE Decoder", "the picture was decoded by {value}; here the VAE does"),
    ("SD upscale", "the picture was enlarged in tiles; here it is not"),
    ("Postprocess", "the picture was changed after it was painted ({value})"),
    ("ControlNet", "a ControlNet took part; none is used here"),
    ("ADetailer", "ADetailer painted parts of the picture anew; here they are not"),
    ("AddNet", "the Additional Networks extension used {value}, which is no LoRA"),
    ("Dynamic thresholding", "dynamic thresholding was on; here it is not"),
    ("FreeU", "FreeU was on; here it is not"),
    ("Decode", "the noise was computed backwards from a picture; here it is drawn"),
    ("Randomness", "the noise was computed backwards from a picture; here it is drawn"),
    ("Sigma Adjustment", "the noise was computed backwards from a picture; here it is drawn"),
    ("Script", "the script {value} made the picture; its settings are repeated, not the script"),
    ("First pass size", "the first pass had no size that can be read ({value})"),
)
"""what the first words of a key mean"""

GRID = ("X Type", "X Values", "Y Type", "Y Values", "Z Type", "Z Values")


def unmet(fields: Mapping[str, str], *, from_picture: bool) -> Iterator[str]:
    """A sentence on everything in a record that `to_request` could not honour."""
    known = {setting.key for setting in SETTINGS} | {*SPECIAL, *QUIET, *GRID}
    known |= {f"Fixed {axis} Values" for axis in "XYZ"}
    said = set[str]()
    if not from_picture:
        yield from _without_picture(fields)
    for key, value in fields.items():
        if key in known or (key, value) in NEUTRAL:
            continue
        sentence = _sentence(key, value)
        if sentence not in said:
            said.add(sentence)
            yield sentence


def _sentence(key: str, value: str) -> str:
    shown = escape(value, 60)
    found = next((text for start, text in SENTENCES if key.startswith(start)), None)
    if found is not None:
        return found.format(value=shown)
    return f"{escape(key, 60)}: {shown} is not known here, and is left out"


def _without_picture(fields: Mapping[str, str]) -> Iterator[str]:
    """A record of img2img holds no picture."""
    second = any(key.startswith("Hires ") for key in fields)
    masked = [key for key in fields if key.startswith(("Mask", "Inpaint area"))]
    started = "Init image hash" in fields or ("Denoising strength" in fields and not second)
    if masked:
        yield "a picture was painted over within a mask; give both again to repeat it"
    elif started:
        strength = escape(fields.get("Denoising strength", "unknown"), 20)
        yield f"it was painted from another picture (strength {strength}); give that to repeat it"
