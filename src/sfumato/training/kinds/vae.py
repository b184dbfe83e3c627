"""Training an autoencoder: the decoder alone, or the whole of one that starts from nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import Parameter, functional

from sfumato.catalogue.survey import survey
from sfumato.catalogue.trees.vae import VAE
from sfumato.containers.open import open_model
from sfumato.engine.networks.build import build
from sfumato.engine.networks.fill import fill
from sfumato.engine.networks.vae import AutoencoderKL
from sfumato.errors import Refused
from sfumato.operations.original import parts
from sfumato.training.data.lesson import Lesson, find, to_tensor
from sfumato.training.output import cast_for, check_suffix, write_tensors
from sfumato.training.precision import computing
from sfumato.training.randomness import normal, uniform
from sfumato.training.settings import Run
from sfumato.training.trainee import Group, Trained

SCALE = 0.18215
"""what SD1's programs multiply latents by, so that they have unit variance"""

LUMA = (0.299, 0.587, 0.114)
"""brightness of red, green and blue (BT.601)"""

DECODER = ("decoder.", "post_quant_conv.")

HELD = 16
"""pictures whose reconstruction is measured"""


def read_autoencoder(path: Path) -> AutoencoderKL:
    """The autoencoder of a VAE file or a checkpoint, in float32 on the CPU.

    Raises Refused where the file holds none.
    """
    with open_model(path) as file:
        found = survey({name: tensor.shape for name, tensor in file.items()})
        part = parts(file, found, "sd1").get("vae")
        if part is None or not isinstance(part.sizes, VAE):
            raise Refused(f"{path}: holds no autoencoder to train")
        network = build(part.sizes)
        fill(network, part.tensors, device=torch.device("cpu"), dtype=torch.float32, source=path)
    assert isinstance(network, AutoencoderKL)
    return network


class VaeTrainee:
    """An autoencoder with the pictures it learns from."""

    def __init__(self, run: Run, path: Path, device: torch.device) -> None:
        """Raises UsageError for an output that no reader of VAEs would open."""
        check_suffix(run, (".safetensors", ".pt", ".ckpt"))
        self.run = run
        self.device = device
        self.network = read_autoencoder(path).to(device)
        self.lesson = Lesson(run, run.data.resolution or 256)
        self.batches = self.lesson.order.batches
        self.digest = f"{self.lesson.digest} {run.vae.part} {self.network.sizes}"
        self.chosen = DECODER if run.vae.part == "decoder" else ("",)
        for name, weight in self.network.named_parameters():
            weight.requires_grad_(name.startswith(self.chosen))
        self.notes = (*self.lesson.notes, _told(self.network, run))
        self._held = self._validation()

    def prepare(self) -> Iterator[tuple[int, int]]:
        """Nothing: pictures are read as they are drawn."""
        return iter(())

    def groups(self) -> tuple[Group, ...]:
        """The decoder's weights, or all."""
        chosen = {n: p for n, p in self.network.named_parameters() if n.startswith(self.chosen)}
        rate = self.run.optimizer.rate
        wide = {n: p for n, p in chosen.items() if p.dim() > 1}
        flat = {n: p for n, p in chosen.items() if p.dim() <= 1}
        return Group("kernels", wide, rate), Group("scales", flat, rate, decays=False)

    def loss(self, batch: int) -> Tensor:
        """How far pictures are from what comes back, and latents from a normal distribution."""
        draws = self.lesson.order.at(batch)
        pictures = torch.stack([self._cropped(draw.sample, draw.item) for draw in draws])
        pictures = pictures.to(self.device)
        moments = self._moments(pictures).float()
        mean, variance = moments.chunk(2, dim=1)
        variance = variance.clamp(-30, 20)
        shape = tuple(mean.shape[1:])
        noise = [normal(shape, self.run.seed, "latent", draw.sample) for draw in draws]
        latents = mean + (variance / 2).exp() * torch.stack(noise).to(self.device)
        with computing(self.run.precision, self.device):
            back = self.network.decode(latents)
        loss = reconstruction(back.float(), self._target(pictures), self.run)
        if self.run.vae.part == "decoder":
            return loss
        return loss + self.run.vae.kl * divergence(mean, variance) / pictures[0].numel()

    def _moments(self, pictures: Tensor) -> Tensor:
        if self.run.vae.part == "whole":
            with computing(self.run.precision, self.device):
                return self.network.moments(pictures)
        with torch.no_grad():
            return self.network.moments(pictures)

    def _target(self, pictures: Tensor) -> Tensor:
        """What should come back: the pictures, tinted where that is asked for."""
        if self.run.vae.tint == (1.0, 1.0, 1.0):
            return pictures
        factors = torch.tensor(self.run.vae.tint, device=pictures.device)[:, None, None]
        return ((pictures + 1) * factors - 1).clamp(-1, 1)

    def _cropped(self, sample: int, item: int) -> Tensor:
        picture = self.lesson.still(item)
        side, (height, width) = self.run.vae.crop, picture.shape[1:]
        if not side or side >= min(height, width):
            return picture
        top = int(uniform(self.run.seed, "crop", sample, 0) * (height - side + 1))
        left = int(uniform(self.run.seed, "crop", sample, 1) * (width - side + 1))
        return picture[:, top : top + side, left : left + side]

    def _validation(self) -> Tensor | None:
        """Pictures that are not trained on, of one size; None where there are none."""
        items = self.lesson.held
        if self.run.data.validation:
            items = find(self.run.data, self.run.data.validation).items
        if not items:
            return None
        side = self.lesson.resolution
        import numpy as np

        return torch.stack(
            [to_tensor(np.asarray(item.load().resize((side, side)))) for item in items[:HELD]]
        )

    @torch.no_grad()
    def validate(self) -> float | None:
        """Mean squared error of held-out pictures, 0 … 1 a colour; PSNR is -10 log10 of it."""
        if self._held is None:
            return None
        errors = [self._error(picture[None].to(self.device)) for picture in self._held]
        return sum(errors) / len(errors)

    def _error(self, picture: Tensor) -> float:
        back = self.network.decode(self.network.encode(picture)).clamp(-1, 1)
        return functional.mse_loss(back, self._target(picture)).item() / 4

    @torch.no_grad()
    def preview(self, folder: Path, step: int) -> Iterator[Path]:
        """Pictures above what comes back of them."""
        from PIL import Image

        shown = self._held if self._held is not None else self._first()
        shown = shown[:8].to(self.device)
        back = torch.cat([self.network.decode(self.network.encode(p[None])) for p in shown])
        rows = [torch.cat(list(row), dim=2) for row in (shown, back.clamp(-1, 1))]
        pixels = ((torch.cat(rows, dim=1) + 1) * 127.5).clamp(0, 255).byte()
        path = folder / f"preview-{step:06d}.png"
        Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy()).save(path)
        yield path

    def _first(self) -> Tensor:
        first = self.lesson.fits[0].bucket
        same = [i for i, fit in enumerate(self.lesson.fits) if fit.bucket == first][:8]
        return torch.stack([self.lesson.still(item) for item in same])

    def write(self, trained: Trained, path: Path) -> Iterator[Path]:
        """The autoencoder as a file of its own, in the original spelling."""
        state = {name: w.detach().float().cpu() for name, w in self.network.state_dict().items()}
        chosen = trained.average or trained.weights
        state |= {name: weight.detach().float().cpu() for name, weight in chosen.items()}
        if self.run.vae.whiten and self.run.vae.part == "whole":
            state = whitened(state, *self._spread(state))
        said = {
            "modelspec.sai_model_spec": "1.0.1",
            "modelspec.architecture": "stable-diffusion-v1/vae",
            "modelspec.title": self.run.title or path.stem,
        }
        yield write_tensors(path, cast_for(state, self.run.save.dtype), trained, self.run, said)

    @torch.no_grad()
    def _spread(self, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each channel of the latents, over pictures of the run."""
        network = read_like(self.network, state)
        step = max(1, len(self.lesson.items) // 512)
        means = [
            network.encode(self.lesson.still(item)[None].to(self.device)).flatten(2)[0]
            for item in range(0, len(self.lesson.items), step)
        ]
        together = torch.cat(means, dim=1).cpu()
        return together.mean(dim=1), together.std(dim=1)


def read_like(network: AutoencoderKL, state: Mapping[str, Tensor]) -> AutoencoderKL:
    """A second network of the same sizes with other weights."""
    made = build(network.sizes)
    device = next(network.parameters()).device
    made.to_empty(device=device).load_state_dict(dict(state))
    assert isinstance(made, AutoencoderKL)
    return made


def reconstruction(back: Tensor, pictures: Tensor, run: Run) -> Tensor:
    """The weighted absolute errors of pixels, of coarser pixels, of edges and of colour."""
    error = back - pictures
    weigh, loss = run.vae, error.abs().mean()
    if weigh.coarse:
        halves = functional.avg_pool2d(error, 2)
        quarters = functional.avg_pool2d(halves, 2)
        loss = loss + weigh.coarse * (halves.abs().mean() + quarters.abs().mean()) / 2
    if weigh.edges:
        across, down = error.diff(dim=3).abs().mean(), error.diff(dim=2).abs().mean()
        loss = loss + weigh.edges * (across + down) / 2
    if weigh.chroma:
        luma = torch.tensor(LUMA, device=error.device)[:, None, None]
        colour = error - (error * luma).sum(dim=1, keepdim=True)
        loss = loss + weigh.chroma * colour.abs().mean()
    return loss


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence from a standard normal, summed over a latent, averaged over the batch (LDM)."""
    each = mean.square() + log_variance.exp() - 1 - log_variance
    return 0.5 * each.sum(dim=(1, 2, 3)).mean()


def whitened(state: Mapping[str, Tensor], mean: Tensor, deviation: Tensor) -> dict[str, Tensor]:
    """The same autoencoder whose latents, times 0.18215, have mean 0 and deviation 1 a channel.

    mean, deviation: of its latents, (4,). The change is folded into the 1×1 convolutions around the
    latent, so every program's constant is right, and pictures come back as before.
    """
    made = dict(state)
    latent, factor = len(mean), 1 / (deviation * SCALE)
    weight, bias = made["quant_conv.weight"].clone(), made["quant_conv.bias"].clone()
    weight[:latent] *= factor[:, None, None, None]
    bias[:latent] = (bias[:latent] - mean) * factor
    bias[latent:] += 2 * factor.log()
    made |= {"quant_conv.weight": weight, "quant_conv.bias": bias}
    out = made["post_quant_conv.weight"]
    made["post_quant_conv.bias"] = made["post_quant_conv.bias"] + out[:, :, 0, 0] @ mean
    made["post_quant_conv.weight"] = out / factor[None, :, None, None]
    return made


def _told(network: nn.Module, run: Run) -> str:
    count = sum(p.numel() for p in _parameters(network) if p.requires_grad)
    whose = "decoder" if run.vae.part == "decoder" else "autoencoder"
    return f"{count / 1e6:.2f} million weights of the {whose} are trained"


def _parameters(network: nn.Module) -> list[Parameter]:
    return list(network.parameters())
