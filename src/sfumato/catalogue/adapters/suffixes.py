"""The endings of LoRA keys: what a tensor is in its module's factorisation, and who writes so."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Suffix:
    """One ending that trainers give to a module's name."""

    text: str
    """the ending, with the dot or underscore it begins with"""
    slot: str
    """what the tensor is: down, up, mid, alpha, w1_a …; the same word for every spelling"""
    flavour: str = ""
    """name of the Flavour it is proof of; empty for tensors that several flavours have"""
    dialect: str = ""
    """who spells like this: kohya | attn-procs | diffusers | peft | hcp | xlabs; empty for all"""


def _pair(flavour: str, dialect: str, down: str, up: str) -> tuple[Suffix, Suffix]:
    return Suffix(down, "down", flavour, dialect), Suffix(up, "up", flavour, dialect)


def _slots(flavour: str, **texts: str) -> tuple[Suffix, ...]:
    return tuple(Suffix(text, slot, flavour) for slot, text in texts.items())


SUFFIXES: tuple[Suffix, ...] = (
    *_pair("lora", "kohya", ".lora_down.weight", ".lora_up.weight"),
    Suffix(".lora_mid.weight", "mid", "lora", "kohya"),
    *_pair("lora", "attn-procs", "_lora.down.weight", "_lora.up.weight"),
    *_pair("lora", "diffusers", ".lora.down.weight", ".lora.up.weight"),
    *_pair("lora", "diffusers", ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
    *_pair("lora", "peft", ".lora_A.weight", ".lora_B.weight"),
    *_pair("lora", "peft", ".lora_A.default.weight", ".lora_B.default.weight"),
    *_pair("lora", "peft", ".lora_embedding_A", ".lora_embedding_B"),
    *_pair("lora", "kohya", ".lora_A", ".lora_B"),  # DyLoRA
    *_pair("lora", "hcp", ".___.layer.W_down", ".___.layer.W_up"),
    *_pair("lora", "hcp", ".___.layer.lora_down.weight", ".___.layer.lora_up.weight"),
    *_pair("lora", "hcp", ".___.layer.lora_down", ".___.layer.lora_up"),
    *_pair("lora", "xlabs", "_lora1.down.weight", "_lora1.up.weight"),
    *_pair("lora", "xlabs", "_lora2.down.weight", "_lora2.up.weight"),
    Suffix(".lora_B.bias", "up_bias", "lora", "peft"),
    Suffix(".reshape_weight", "reshape", "lora"),
    *_slots(
        "loha",
        w1_a=".hada_w1_a", w1_b=".hada_w1_b", w2_a=".hada_w2_a", w2_b=".hada_w2_b",
        t1=".hada_t1", t2=".hada_t2",
    ),
    *_slots(
        "lokr",
        w1=".lokr_w1", w1_a=".lokr_w1_a", w1_b=".lokr_w1_b",
        w2=".lokr_w2", w2_a=".lokr_w2_a", w2_b=".lokr_w2_b", t2=".lokr_t2",
    ),
    Suffix(".on_input", "on_input", "ia3"),
    Suffix(".ia3_l", "factor", "ia3-peft", "peft"),
    *_slots(
        "glora", a1=".a1.weight", a2=".a2.weight", b1=".b1.weight", b2=".b2.weight", bm=".bm.weight"
    ),
    Suffix(".oft_blocks", "blocks", "oft"),
    Suffix(".oft_diag", "diag", "oft-old"),
    Suffix(".oft_R.weight", "blocks", "oft-peft", "peft"),
    Suffix(".diff", "diff", "full"),
    Suffix(".diff_b", "diff_b", "bias"),
    *_slots("norm", w_norm=".w_norm", b_norm=".b_norm"),
    Suffix(".set_weight", "set", "set"),
    *_slots(
        "bias",
        bias_indices=".bias_indices", bias_values=".bias_values", bias_size=".bias_size",
    ),
    Suffix(".dora_scale", "magnitude", "dora"),
    Suffix(".lora_magnitude_vector", "magnitude", "dora", "peft"),
    Suffix(".lora_magnitude_vector.weight", "magnitude", "dora", "peft"),
    Suffix(".lora_magnitude_vector.default.weight", "magnitude", "dora", "peft"),
    Suffix(".alpha", "alpha"),
    Suffix("_lora.alpha", "alpha"),
    Suffix(".lora.alpha", "alpha"),
    Suffix(".lora_linear_layer.alpha", "alpha"),
    Suffix(".___.alpha", "alpha"),
    Suffix(".___.layer.alpha", "alpha"),
    Suffix(".scale", "scale"),
    Suffix(".rescale", "rescale"),
    Suffix(".weight", "weight"),  # IA3's vector; proof of nothing by itself
)  # fmt: skip
"""every ending of the LoRA family, whatever the flavour and the trainer"""

BY_TEXT: dict[str, Suffix] = {suffix.text: suffix for suffix in SUFFIXES}

BY_TAIL: dict[str, Suffix] = {text[1:]: found for text, found in BY_TEXT.items() if text[0] == "."}

UNDERSCORED = ("_lora", "_lora1", "_lora2")
"""endings that are glued to the module's name rather than set apart by a dot"""

NAMED: dict[str, Suffix] = {
    "lora_A": BY_TEXT[".lora_A.weight"],
    "lora_B": BY_TEXT[".lora_B.weight"],
    "lora_magnitude_vector": BY_TEXT[".lora_magnitude_vector.weight"],
}
"""what PEFT writes as `<this>.<name of the adapter>.weight`"""


LONGEST = 4
"""dots in the longest ending"""


def split(key: str) -> tuple[str, Suffix] | None:
    """The module's name and the longest known ending of `key`; None where none is known."""
    head, _, tail = key.partition(".")
    if (whole := BY_TAIL.get(tail)) is not None:  # no ending can be longer
        return head, whole
    best: tuple[str, Suffix] | None = None
    cut = len(key)
    for _ in range(LONGEST):
        cut = key.rfind(".", 0, cut)
        if cut < 0:
            break
        found = BY_TEXT.get(key[cut:])
        if found is not None:
            best = key[:cut], found
        elif key.endswith(UNDERSCORED, 0, cut):
            start = key.rindex("_", 0, cut)
            if (found := BY_TEXT.get(key[start:])) is not None:
                best = key[:start], found
    if best is not None and best[1].slot == "weight":
        return _named(key) or best
    return best


def _named(key: str) -> tuple[str, Suffix] | None:
    """PEFT's `<module>.lora_A.<name of the adapter>.weight`."""
    parts = key.rsplit(".", 3)
    if len(parts) == 4 and (found := NAMED.get(parts[1])) is not None:
        return parts[0], found
    return None
