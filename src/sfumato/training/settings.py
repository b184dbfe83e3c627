"""A training run as one value: everything that decides what comes out, read from a TOML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["checkpoint", "lora", "embedding", "hypernetwork", "vae"]


@dataclass(frozen=True, slots=True)
class Base:
    """The model that training starts from."""

    file: str = ""
    """name or path of a checkpoint; empty only for a checkpoint from scratch"""
    vae: str = ""
    """a VAE in place of the checkpoint's own"""
    weights: Literal["live", "ema"] = "live"


@dataclass(frozen=True, slots=True)
class Scratch:
    """Sizes of a model that starts from random weights."""

    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    depths: tuple[int, ...] = (1, 1, 1, 0)
    middle: int = 1
    blocks: int = 2
    text_width: int = 768
    text_layers: int = 12
    text_inner: int = 3072
    vae_width: int = 128
    vae_multipliers: tuple[int, ...] = (1, 2, 4, 4)
    vae_blocks: int = 2


@dataclass(frozen=True, slots=True)
class Data:
    """What is learned from."""

    folder: str = ""
    """pictures with captions beside them; or one array file (.npz)"""
    regularisation: str = ""
    """pictures of the class that must not be forgotten"""
    validation: str = ""
    """pictures that are never trained on; empty holds some back where there are enough"""
    trigger: str = ""
    """a word put before every caption that lacks it; the caption of pictures without one"""
    resolution: int = 0
    """side of a square with the area of a picture; 0 takes the size the model was made for"""
    buckets: bool = True
    """keep the pictures' aspect; False crops them square"""
    bucket_step: int = 0
    """sides are multiples of it; 0 takes 64, or 8 below 256 pixels"""
    upscale: bool = False
    """enlarge pictures that are too small"""
    flip: bool = False
    """mirror half of the draws"""
    crop: Literal["center", "random"] = "center"
    repeats: int = 1
    caption_dropout: float = 0.0
    """share of draws without any caption, which classifier-free guidance needs"""
    shuffle_tags: bool = False
    keep_tags: int = 0
    """tags at the front that stay where they are"""
    tag_dropout: float = 0.0
    template: str = ""
    """file of lines with `[name]` and `[filewords]`, as A1111 has them for embeddings"""


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised."""

    prediction: Literal["", "epsilon", "v"] = ""
    """empty takes the model's own"""
    min_snr: float = 0.0
    """gamma of min-SNR weighting (Hang et al. 2023, arXiv 2303.09556); 0 for none, 5 is usual"""
    noise_offset: float = 0.0
    zero_snr: bool = False
    stratified: bool = True
    """spread the timesteps of a batch over the whole range"""
    draws: int = 1
    """noisy copies of each picture in a batch, which share its text encoding"""
    prior_weight: float = 1.0
    """weight of regularisation pictures"""


@dataclass(frozen=True, slots=True)
class Optimizer:
    """How weights are moved."""

    name: str = "adamw"
    rate: float = 1e-4
    text_rate: float = 0.0
    """rate of the text encoder; 0 leaves it as it is"""
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    course: str = "constant"
    warmup: int = 0
    decay: float = 0.25
    clip: float = 1.0
    """largest norm of the gradient; 0 for no limit"""


@dataclass(frozen=True, slots=True)
class Ema:
    """The average of the weights."""

    decay: float = 0.0
    """0 keeps none"""


@dataclass(frozen=True, slots=True)
class Save:
    """When the run is saved, and as what."""

    every: float = 0.2
    """below 1 a share of the run, else steps"""
    minutes: float = 30.0
    """… and at least this often; 0 for never"""
    keep: int = 2
    """resumable states that are kept; the newest good one is never deleted"""
    files: bool = True
    """write the trained file at each of these moments too"""
    dtype: str = "f16"
    editions: tuple[str, ...] = ("ema",)
    """of a checkpoint: state, pruned, ema, live"""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is shown while it runs."""

    validate_every: int = 0
    """steps; 0 validates whenever the run is saved"""
    previews: tuple[str, ...] = ()
    """prompts painted whenever the run is saved"""
    preview_steps: int = 20
    preview_scale: float = 5.0
    preview_size: int = 0
    tensorboard: bool = False


@dataclass(frozen=True, slots=True)
class LoraShape:
    """What a LoRA consists of."""

    algorithm: Literal["lora", "loha", "lokr"] = "lora"
    rank: int = 8
    alpha: float = 0.0
    """0 takes the rank"""
    conv_rank: int = 0
    """rank of 3×3 convolutions (LoCon); 0 leaves them as they are"""
    dora: bool = False
    factor: int = 8
    """LoKr: size of the first Kronecker factor"""
    blocks: tuple[str, ...] = ()
    """regular expressions of modules in the original spelling; empty for all"""


@dataclass(frozen=True, slots=True)
class EmbeddingShape:
    """What an embedding consists of."""

    name: str = ""
    """the word that calls it; empty takes the output's name"""
    vectors: int = 2
    start: str = "*"
    """words whose vectors it starts from"""


@dataclass(frozen=True, slots=True)
class HypernetworkShape:
    """What a hypernetwork consists of, in A1111's terms."""

    sizes: tuple[int, ...] = ()
    """widths of the attention inputs it changes; empty for all of the model"""
    structure: tuple[float, ...] = (1, 2, 1)
    activation: str = "linear"
    start: Literal["Normal", "XavierUniform", "XavierNormal", "KaimingUniform", "KaimingNormal"] = (
        "Normal"
    )
    layer_norm: bool = False
    dropout: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class VaeShape:
    """How an autoencoder is trained."""

    part: Literal["decoder", "whole"] = "decoder"
    """the decoder alone keeps latents as they are, so that every UNet still fits"""
    crop: int = 0
    """side of random crops; 0 takes whole pictures"""
    kl: float = 1e-6
    edges: float = 0.5
    """weight of the differences of neighbouring pixels"""
    coarse: float = 0.5
    """weight of the error after averaging over 2×2 and 4×4 pixels"""
    chroma: float = 1.0
    """weight of the colour differences beside the brightness"""
    log_variance: float = -8.0
    """start of the posterior's log-variance when training from scratch"""
    whiten: bool = True
    """fold mean and spread of the latents in, so that the scale 0.18215 is right; whole only"""
    tint: tuple[float, ...] = (1.0, 1.0, 1.0)
    """factors of red, green and blue in what should come back"""


@dataclass(frozen=True, slots=True)
class Run:
    """One training run."""

    kind: Kind
    output: str
    """file to write; the states go into a folder beside it, `NAME.run`"""
    steps: int = 1000
    batch: int = 4
    accumulate: int = 1
    """batches per step"""
    seed: int = 0
    checkpointing: bool = False
    """compute activations twice and keep them less"""
    title: str = ""
    base: Base = field(default_factory=Base)
    scratch: Scratch | None = None
    data: Data = field(default_factory=Data)
    objective: Objective = field(default_factory=Objective)
    optimizer: Optimizer = field(default_factory=Optimizer)
    ema: Ema = field(default_factory=Ema)
    save: Save = field(default_factory=Save)
    watch: Watch = field(default_factory=Watch)
    lora: LoraShape = field(default_factory=LoraShape)
    embedding: EmbeddingShape = field(default_factory=EmbeddingShape)
    hypernetwork: HypernetworkShape = field(default_factory=HypernetworkShape)
    vae: VaeShape = field(default_factory=VaeShape)
