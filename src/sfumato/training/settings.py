"""A training run as one value: everything that decides what comes out, read from a TOML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["checkpoint", "lora", "embedding", "hypernetwork", "vae"]

Edition = Literal["state", "pruned", "ema", "live"]

Precision = Literal["f32", "bf16", "f16"]


@dataclass(frozen=True, slots=True)
class Base:
    """The model that training starts from."""

    file: str = ""
    """name or path of a checkpoint; empty only for a start from scratch"""
    vae: str = ""
    """a VAE in place of the checkpoint's own"""
    weights: Literal["live", "ema"] = "live"
    """which of a checkpoint's two sets of weights"""


@dataclass(frozen=True, slots=True)
class Scratch:
    """Sizes of a model that starts from random weights; without values those of SD1."""

    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    """channels of each level of the UNet"""
    depths: tuple[int, ...] = (1, 1, 1, 0)
    """layers of attention at each level"""
    middle: int = 1
    """layers of attention in the middle"""
    blocks: int = 2
    """residual blocks of each level"""
    text_width: int = 768
    """width of the text encoder, and of what the UNet reads"""
    text_layers: int = 12
    """its layers"""
    text_inner: int = 3072
    """width inside them"""
    vae_width: int = 128
    """channels of the VAE's first level"""
    vae_multipliers: tuple[int, ...] = (1, 2, 4, 4)
    """width of each level of the VAE, as a multiple of the first"""
    vae_blocks: int = 2
    """residual blocks of each level of the VAE"""


@dataclass(frozen=True, slots=True)
class Data:
    """What is learned from."""

    folder: str = ""
    """pictures with captions beside them; or one array file"""
    regularisation: str = ""
    """pictures of the class that must not be forgotten"""
    validation: str = ""
    """pictures that are never trained on, to measure the loss on; empty measures none"""
    hold_out: float = 0.0
    """pictures of the folder to measure the loss on instead: below 1 a share, else how many"""
    trigger: str = ""
    """a word put before every caption that lacks it; the caption of pictures without one"""
    resolution: int = 0
    """side of a square with the area of a picture; 0 takes the size the model was made for"""
    buckets: bool = True
    """keep the pictures' aspect; false crops them square"""
    bucket_step: int = 0
    """sides are multiples of it; 0 takes 64, or 8 below 256 pixels"""
    upscale: bool = False
    """enlarge pictures that are too small"""
    flip: bool = False
    """mirror half of the draws"""
    crop: Literal["center", "random"] = "center"
    """where pictures are cropped; at random they are encoded anew each time"""
    repeats: int = 1
    """how often an epoch draws each picture"""
    caption_dropout: float = 0.0
    """share of draws without any caption, which classifier-free guidance needs"""
    shuffle_tags: bool = False
    """draw the tags of a caption, parted by commas, in another order each time"""
    keep_tags: int = 0
    """tags at the front that stay where they are"""
    tag_dropout: float = 0.0
    """share of the other tags that are left out"""
    template: str = ""
    """file of lines with `[name]` and `[filewords]`, as A1111 has them for embeddings"""


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised."""

    prediction: Literal["", "epsilon", "v"] = ""
    """what the UNet predicts; empty takes the model's own"""
    min_snr: float = 0.0
    """gamma of min-SNR weighting (Hang et al. 2023, arXiv 2303.09556); 0 for none, 5 is usual"""
    noise_offset: float = 0.0
    """noise that shifts whole channels, for darker and lighter pictures; 0.05 is usual"""
    zero_snr: bool = False
    """noise levels that end in nothing but noise (Lin et al. 2023, arXiv 2305.08891); with v"""
    stratified: bool = True
    """spread the timesteps of a batch over the whole range"""
    draws: int = 1
    """noisy copies of each picture in a batch, which share its text encoding"""
    prior_weight: float = 1.0
    """weight of regularisation pictures"""


@dataclass(frozen=True, slots=True)
class Optimizer:
    """How weights are moved."""

    name: Literal["adamw", "adamw8bit", "adafactor", "prodigy"] = "adamw"
    """adamw8bit needs bitsandbytes and CUDA; prodigy needs prodigyopt, and rate 1"""
    rate: float = 1e-4
    """learning rate"""
    text_rate: float = 0.0
    """rate of the text encoder; 0 leaves it as it is"""
    betas: tuple[float, float] = (0.9, 0.999)
    """how long Adam remembers gradients and their squares"""
    weight_decay: float = 0.01
    """pull towards zero, but for norms, biases and embeddings"""
    course: Literal["constant", "cosine", "linear", "plateau"] = "constant"
    """how the rate moves; a plateau is the one for a run that may be extended"""
    warmup: int = 0
    """steps in which the rate rises to what it is"""
    decay: float = 0.25
    """share of the run at its end in which a plateau falls to nothing"""
    clip: float = 1.0
    """largest norm of the gradient; 0 for no limit"""


@dataclass(frozen=True, slots=True)
class Ema:
    """The average of the weights."""

    decay: float = 0.0
    """how much of the average stays at each step, 0.999 for most runs; 0 keeps none"""


@dataclass(frozen=True, slots=True)
class Save:
    """When the run is saved, and as what."""

    every: float = 0.2
    """below 1 a share of the run, else steps; 0 for the end only"""
    minutes: float = 30.0
    """… and a state at least this often; 0 for never"""
    keep: int = 2
    """resumable states that are kept; the newest good one is never deleted"""
    best: bool = False
    """keep the state with the lowest validation loss beside them"""
    files: bool = True
    """write the trained file at each of these moments too"""
    dtype: Literal["f32", "f16", "bf16"] = "f16"
    """precision of the trained file; states keep that of training"""
    editions: tuple[Edition, ...] = ("ema",)
    """of a checkpoint: state, pruned, ema, live"""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is shown while it runs."""

    validate_every: int = 0
    """steps; 0 validates whenever the run is saved"""
    previews: tuple[str, ...] = ()
    """prompts painted whenever the run is saved"""
    preview_steps: int = 20
    """steps of a preview"""
    preview_scale: float = 5.0
    """how strongly previews follow their prompt"""
    preview_size: int = 0
    """side of a preview; 0 for the resolution of the pictures"""
    tensorboard: bool = False
    """write events for TensorBoard beside log.csv; needs tensorboard"""


@dataclass(frozen=True, slots=True)
class LoraShape:
    """What a LoRA consists of."""

    algorithm: Literal["lora", "loha", "lokr"] = "lora"
    """how a change is made of small factors"""
    rank: int = 8
    """size of the factors: how much it can learn, and how large the file is"""
    alpha: float = 0.0
    """the change is multiplied by alpha / rank; 0 takes the rank"""
    conv_rank: int = 0
    """rank of 3×3 convolutions (LoCon); 0 leaves them as they are"""
    dora: bool = False
    """learn the length of each weight apart from its direction (DoRA)"""
    factor: int = 8
    """LoKr: size of the first Kronecker factor"""
    blocks: tuple[str, ...] = ()
    """regular expressions of modules in the original spelling; empty for all"""
    dropout: float = 0.0
    """share of the values between the two factors that is left out of each batch"""
    rank_dropout: float = 0.0
    """share of the ranks that is left out for each picture"""
    module_dropout: float = 0.0
    """share of the changed layers that is left out of each batch"""


@dataclass(frozen=True, slots=True)
class EmbeddingShape:
    """What an embedding consists of."""

    name: str = ""
    """the word that calls it; empty takes the output's name"""
    vectors: int = 2
    """tokens that it takes"""
    start: str = "*"
    """words whose vectors it starts from"""


@dataclass(frozen=True, slots=True)
class HypernetworkShape:
    """What a hypernetwork consists of, in A1111's terms."""

    sizes: tuple[int, ...] = ()
    """widths of the attention inputs it changes; empty for all of the model"""
    structure: tuple[float, ...] = (1, 2, 1)
    """width of each layer, as a multiple of the input's"""
    activation: str = "linear"
    """function between the layers"""
    start: Literal["Normal", "XavierUniform", "XavierNormal", "KaimingUniform", "KaimingNormal"] = (
        "Normal"
    )
    """how the weights are drawn at first"""
    layer_norm: bool = False
    """norm after each layer"""
    dropout: tuple[float, ...] = ()
    """share of values left out after each width of the structure"""


@dataclass(frozen=True, slots=True)
class VaeShape:
    """How an autoencoder is trained."""

    part: Literal["decoder", "whole"] = "decoder"
    """the decoder alone keeps latents as they are, so that every UNet still fits"""
    crop: int = 0
    """side of random crops; 0 takes whole pictures"""
    kl: float = 1e-6
    """weight of the latents' distance from a normal distribution"""
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
    """what is trained"""
    output: str
    """file to write; the states go into a folder beside it, `NAME.run`"""
    steps: int = 1000
    """steps of the optimiser"""
    batch: int = 4
    """pictures at once"""
    accumulate: int = 1
    """batches per step"""
    seed: int = 0
    """decides every random number of the run"""
    checkpointing: bool = False
    """compute activations twice and keep them less"""
    precision: Precision = "f32"
    """of products and convolutions while training; bf16 and f16 are faster on GPUs alone"""
    title: str = ""
    """what the trained file calls itself"""
    author: str = ""
    """who made it, as the file says"""
    license: str = ""
    """on what terms it may be used, as the file says"""
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


def word_of(run: Run) -> str:
    """The word that stands for what is learned: the trigger, or the name of an embedding."""
    if run.kind == "embedding" and not run.data.trigger:
        return run.embedding.name or Path(run.output).stem
    return run.data.trigger
