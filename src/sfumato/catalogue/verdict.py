"""What identification answers: the kind, family, variant and parts of a model, with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Confidence = Literal["certain", "likely", "guess", "none"]
"""certain: every key and shape agrees · likely: most do · guess: a hint decides · none: unknown"""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a model: the UNet, the VAE, a text encoder, an EMA copy, optimizer state …"""

    role: str
    """unet | dit | vae | text_encoder | text_encoder_2 | ema | optimizer | buffers | … | unknown"""
    title: str
    """as a person says it: "SD1 UNet", "CLIP-L text encoder" """
    prefix: str
    """what every key of the part begins with; empty where it stands bare"""
    tensors: int
    parameters: int
    nbytes: int
    """bytes of the tensors as `read` gives them"""
    dtypes: Mapping[str, int]
    """name of the dtype, or of the quantised blocks (Q8_0) → number of tensors"""
    expected: int = 0
    """tensors a complete part of this sort has; 0 where there is no such list"""
    missing: tuple[str, ...] = ()
    """keys that a complete part would have and this file lacks"""
    reshaped: tuple[str, ...] = ()
    """one clause per key whose shape is not the expected one: "K is [320, 9, 3, 3], expected …" """
    custom: bool = False
    """True for a known layout with other sizes than any published model"""
    names: tuple[str, ...] = ()
    """the keys of the part, in file order"""

    @property
    def complete(self) -> bool:
        """True where nothing that belongs to the part is missing or has a wrong shape."""
        return not self.missing and not self.reshaped


@dataclass(frozen=True, slots=True)
class Adapter:
    """What is particular to a LoRA, an embedding or a hypernetwork."""

    flavour: str
    """lora | locon | loha | lokr | … for LoRAs, the layout's name for the other kinds"""
    spelling: str = ""
    """kohya | diffusers | peft | lycoris … : who names modules like this"""
    ranks: tuple[int, ...] = ()
    """distinct ranks, ascending"""
    alphas: tuple[float, ...] = ()
    """distinct alphas; empty where the file stores none or they have not been read"""
    modules: int = 0
    """modules the adapter changes"""
    known: int = 0
    """of these, modules that exist in the family it was made for"""
    possible: int = 0
    """modules that family has for this flavour"""
    targets: tuple[str, ...] = ()
    """which parts it changes: unet, text_encoder, text_encoder_2"""
    vectors: int = 0
    """rows of an embedding, which is the number of prompt tokens it takes"""
    widths: tuple[int, ...] = ()
    """vector widths of an embedding, or layer widths of a hypernetwork"""
    structure: str = ""
    """a hypernetwork's layers in words: "1, 2, 1, relu, layer norm" """
    bundled: tuple[str, ...] = ()
    """names of embeddings carried inside a LoRA"""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network was trained to predict."""

    type: Literal["epsilon", "v", "flow", "edm", "unknown"]
    reason: str
    """one clause: where that is known from"""
    zero_terminal_snr: bool = False
    assumed: bool = False
    """True where nothing in the file says so and it is what most models of the family do"""


@dataclass(frozen=True, slots=True)
class TriggerWord:
    """A word that calls an adapter up in a prompt."""

    word: str
    source: str
    """where it was found: "file name", "token name", "modelspec.trigger_phrase" … """


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole answer to "what is this?"."""

    kind: str
    """checkpoint | vae | text-encoder | unet | lora | embedding | hypernetwork | controlnet | … |
    unknown"""
    family: str = "unknown"
    """sd1 | sd2 | sdxl | sdxl-refiner | sd3 | flux … | unknown; several, as "sd1/sdxl", where the
    layout is shared"""
    variant: str = ""
    """inpainting | ip2p | depth | unclip … ; empty for the plain model"""
    title: str = ""
    """one line for a person: "SD 1.x checkpoint, inpainting" """
    parts: tuple[Part, ...] = ()
    edition: str = ""
    """full training state | live + EMA | single set | … ; empty where the word means nothing"""
    edition_note: str = ""
    """what cannot be known about the edition, said"""
    prediction: Prediction | None = None
    adapter: Adapter | None = None
    trigger_words: tuple[TriggerWord, ...] = ()
    hyperparameters: Mapping[str, int | str | tuple[int, ...]] = field(
        default_factory=dict[str, int | str | tuple[int, ...]]
    )
    """sizes read off the shapes: widths, depths, context …"""
    confidence: Confidence = "none"
    evidence: tuple[str, ...] = ()
    """one clause per fact that speaks for the verdict"""
    contradictions: tuple[str, ...] = ()
    """one clause per fact that speaks against it"""
    left_over: tuple[str, ...] = ()
    """keys that belong to no known part"""
    runner_up: str = ""
    """the next best reading and why it lost; empty where there is none"""
