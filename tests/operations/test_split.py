"""Split, then join: the same tensors under the same names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sfumato.catalogue.cards.inspect import inspect
from sfumato.catalogue.spelling.translation import to_diffusers
from sfumato.catalogue.trees.shapes import Shapes
from sfumato.catalogue.trees.text import Text, openclip_shapes
from sfumato.catalogue.trees.unet import sizes, unet_shapes
from sfumato.containers.dtype import F16
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.errors import OutputExists, Refused, UsageError
from sfumato.operations.recipe import KEY, parse
from sfumato.operations.split import join, split
from small_models import IDS, TEXT, UNET, VAE_PREFIX, sd1
from toys import contents, random_tensors


def xl() -> dict[str, Tensor]:
    """A checkpoint in SDXL's layout with small widths."""
    parts: dict[str, Shapes] = {
        UNET: unet_shapes(sizes((32, 64), (0, 2), 1, 24, labels=20, linear_projection=True)),
        "conditioner.embedders.1.model.": openclip_shapes(Text(16, 2, 32, 8, vocabulary=20)),
    }
    shapes = {
        prefix + name: shape for prefix, part in parts.items() for name, shape in part.items()
    }
    small = {name: tensor for name, tensor in sd1(F16).items() if name.startswith(VAE_PREFIX)}
    first = {
        name.replace(TEXT, "conditioner.embedders.0.transformer."): tensor
        for name, tensor in sd1(F16).items()
        if name.startswith(TEXT)
    }
    return {**random_tensors(shapes, F16), **small, **first}


@pytest.mark.parametrize("prefixes", [True, False])
@pytest.mark.parametrize("build", [sd1, xl])
def test_what_was_split_joins_to_what_it_was(tmp_path: Path, build, prefixes: bool) -> None:  # noqa: ANN001
    model = build()
    save(tmp_path / "a.safetensors", model)
    reports = split(tmp_path / "a.safetensors", tmp_path / "parts", prefixes=prefixes)
    join([report.plan.target for report in reports], tmp_path / "b.safetensors")
    with open_model(tmp_path / "b.safetensors") as joined:
        assert contents(joined) == contents(model)


def test_parts_are_named_by_what_they_are_and_stand_bare(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", xl())
    split(tmp_path / "a.safetensors", tmp_path / "parts")
    names = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert names == [
        f"{part}.safetensors" for part in ("text_encoder", "text_encoder_2", "unet", "vae")
    ]
    with open_model(tmp_path / "parts" / "unet.safetensors") as unet:
        assert "input_blocks.0.0.weight" in unet
    card = inspect(tmp_path / "parts" / "vae.safetensors")
    assert card.identity is not None and card.identity.kind == "vae"


def test_averages_and_training_state_stay_behind_and_are_told_of(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(ema=True, optimizer=True))
    reports = split(tmp_path / "a.safetensors", tmp_path / "parts")
    left = {item.name.split(".")[0] for item in reports[0].plan.dropped}
    assert left == {"model_ema", "optimizer_states"}
    assert not any(report.plan.dropped for report in reports[1:])


def test_every_part_tells_which_file_it_is_from(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(F16))
    split(tmp_path / "a.safetensors", tmp_path / "parts")
    for path in (tmp_path / "parts").iterdir():
        with open_model(path) as part:
            recipe = parse(part.metadata[KEY])
        assert recipe.inputs[0].name == "a.safetensors" and recipe.options["part"] == path.stem


def test_nothing_is_written_where_one_part_is_already_there(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(F16))
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "vae.safetensors").write_bytes(b"mine")
    with pytest.raises(OutputExists):
        split(tmp_path / "a.safetensors", tmp_path / "parts")
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["vae.safetensors"]


def test_one_part_alone_cannot_be_split(tmp_path: Path) -> None:
    vae = {n.removeprefix(VAE_PREFIX): t for n, t in sd1().items() if n.startswith(VAE_PREFIX)}
    save(tmp_path / "vae.safetensors", vae)
    with pytest.raises(Refused, match="one part, vae"):
        split(tmp_path / "vae.safetensors", tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


def test_parts_in_the_spelling_of_diffusers_join_too(tmp_path: Path) -> None:
    model = sd1()
    folder = to_diffusers({name: t.shape for name, t in model.items()}).apply(model)
    for part in ("unet", "vae", "text_encoder"):
        own = {n.removeprefix(f"{part}."): t for n, t in folder.items() if n.startswith(f"{part}.")}
        save(tmp_path / f"{part}.safetensors", own)
    parts = [tmp_path / f"{part}.safetensors" for part in ("vae", "unet", "text_encoder")]
    join(parts, tmp_path / "b.ckpt")
    with open_model(tmp_path / "b.ckpt") as joined:
        assert contents(joined) == contents(model)


def test_a_joined_pickle_has_the_form_that_programs_expect(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1())
    split(tmp_path / "a.safetensors", tmp_path / "parts")
    join(sorted((tmp_path / "parts").iterdir()), tmp_path / "b.ckpt")
    loaded = torch.load(tmp_path / "b.ckpt", weights_only=True)
    assert {"state_dict", "sfumato_recipe"} == set(loaded) and IDS in loaded["state_dict"]
    assert len(parse(loaded["sfumato_recipe"]).inputs) == 3


def test_two_files_with_the_same_part_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(F16))
    split(tmp_path / "a.safetensors", tmp_path / "parts")
    with pytest.raises(Refused, match="vae"):
        join(
            [tmp_path / "a.safetensors", tmp_path / "parts" / "vae.safetensors"],
            tmp_path / "b.safetensors",
        )


def test_a_part_with_a_hole_makes_no_checkpoint(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(F16))
    split(tmp_path / "a.safetensors", tmp_path / "parts")
    with open_model(tmp_path / "parts" / "vae.safetensors") as vae:
        kept = {name: t for name, t in vae.items() if name != "decoder.conv_out.bias"}
        save(tmp_path / "holed.safetensors", kept)
    others = [tmp_path / "parts" / f"{part}.safetensors" for part in ("unet", "text_encoder")]
    with pytest.raises(Refused, match=r"decoder\.conv_out\.bias"):
        join([*others, tmp_path / "holed.safetensors"], tmp_path / "b.safetensors")


def test_join_without_a_unet_or_with_one_file_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(F16))
    split(tmp_path / "a.safetensors", tmp_path / "parts")
    vae, text = (tmp_path / "parts" / f"{part}.safetensors" for part in ("vae", "text_encoder"))
    with pytest.raises(Refused, match="UNet"):
        join([vae, text], tmp_path / "b.safetensors")
    with pytest.raises(UsageError):
        join([vae], tmp_path / "b.safetensors")
