"""Files that change a picture: by prompt or by hand, reported, taken off, and refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from loras import arrays, changed, saved, weights
from paintable import SMALL_VAE, VAE_PREFIX, checkpoint, write
from sfumato.catalogue.trees.vae import vae_shapes
from sfumato.containers.arrays import tensor_from
from sfumato.containers.save import save
from sfumato.engine.loading.load import load
from sfumato.engine.painter import Painter
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.progress import Progress
from sfumato.engine.request import Hires, Request
from sfumato.errors import BadFile, Dangerous, Refused, SfumatoError, UsageError
from sfumato.library.find import Shelf
from sfumato.operations.convert import convert

pytestmark = pytest.mark.slow

Small = Callable[[str], Path]
Pixels = NDArray[np.uint8]

BASE = Request("a fox", "a dog", width=32, height=32, steps=2, seed=7, sampler="Euler")


@pytest.fixture(scope="module")
def shelf(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """A1111's folders with one file of each kind."""
    root = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(1)
    model = load(small("sd1"))
    saved(root / "Lora" / "ink.safetensors", arrays(model, "lora"))
    saved(root / "Lora" / "wash.safetensors", arrays(model, "loha", ("attn2",)))
    bundled = arrays(model, "lora", ("attn2",))
    vectors = rng.standard_normal((2, 128)).astype(np.float32)
    bundled["bundle_emb.quill.string_to_param.*"] = vectors
    saved(root / "Lora" / "carrier.safetensors", bundled)
    model.close()
    other = load(small("sdxl"))
    saved(root / "Lora" / "stranger.safetensors", arrays(other, "lora", ("attn2.to_k",)))
    other.close()
    embedding = {"emb_params": tensor_from(vectors)}
    (root / "embeddings").mkdir()
    save(root / "embeddings" / "charcoal.safetensors", embedding)
    wide = {"emb_params": tensor_from(np.ones((1, 768), np.float32))}
    save(root / "embeddings" / "broadsheet.safetensors", wide)
    _hypernetwork(root / "hypernetworks" / "smoke.pt")
    (root / "VAE").mkdir()
    vae = {n: checkpoint("sd1", seed=5)[VAE_PREFIX + n] for n in vae_shapes(SMALL_VAE)}
    save(root / "VAE" / "matte.vae.safetensors", vae)
    return Shelf((root,))


def _hypernetwork(path: Path) -> None:
    path.parent.mkdir()
    generator = torch.Generator().manual_seed(4)
    half = {
        "linear.0.weight": torch.randn(256, 128, generator=generator) / 12,
        "linear.0.bias": torch.zeros(256),
        "linear.1.weight": torch.randn(128, 256, generator=generator) / 16,
        "linear.1.bias": torch.zeros(128),
    }
    torch.save({128: (half, half), "layer_structure": [1, 2, 1]}, path)


@pytest.fixture(scope="module")
def painter(small: Small, shelf: Shelf) -> Iterator[Painter]:
    with Painter(load(small("sd1")), shelf=shelf) as found:
        yield found


@pytest.fixture(autouse=True)
def untouched(painter: Painter) -> Iterator[None]:
    """Whatever a test does, `detach` gives the file's own weights back."""
    before = weights(painter.model)
    yield
    painter.detach()
    assert not changed(painter.model, before)


def painted(painter: Painter, request: Request = BASE) -> Picture:
    return next(event for event in painter.paint(request) if isinstance(event, Picture))


def pixels(picture: Picture) -> Pixels:
    return np.asarray(picture.image)


def differ(one: Picture, other: Picture) -> bool:
    return bool((pixels(one) != pixels(other)).any())


def test_a_lora_in_the_prompt_changes_the_picture_and_is_reported(painter: Painter) -> None:
    plain = painted(painter)
    inked = painted(painter, replace(BASE, prompt="a fox<lora:ink:0.8>"))
    assert differ(plain, inked)
    assert "tensors of LoRA ink at 0.8 apply; they change the UNet by" in " ".join(inked.notes)
    assert inked.record.prompt == "a fox<lora:ink:0.8>"
    assert inked.record.fields["Lora hashes"].startswith("ink: ")
    assert [file.kind for file in inked.files] == ["checkpoint", "lora"]
    assert [report.name for report in painter.applied] == ["ink"]
    assert not differ(plain, painted(painter))


def test_strengths_are_heeded(painter: Painter) -> None:
    prompts = ("", "<lora:ink:0.5>", "<lora:ink:1>", "<lora:ink:0:1>", "<lora:ink:1><lora:wash:1>")
    made = [painted(painter, replace(BASE, prompt=f"a fox{tags}")) for tags in prompts]
    assert len({pixels(picture).tobytes() for picture in made}) == len(prompts)
    nothing = painted(painter, replace(BASE, prompt="a fox<lora:ink:0>"))
    assert not differ(made[0], nothing)


def test_a_lora_attached_by_hand_is_the_same_as_one_in_the_prompt(painter: Painter) -> None:
    asked = painted(painter, replace(BASE, prompt="a fox<lora:ink:0.8>"))
    with painter.lora("ink", 0.8):
        assert not differ(asked, painted(painter))
    assert differ(asked, painted(painter))
    with painter.lora(painter.shelf.find("lora", "ink"), 0.3, unet=0.8):
        assert differ(asked, painted(painter))


def test_a_hypernetwork_acts_by_prompt_and_by_hand(painter: Painter) -> None:
    plain, asked = painted(painter), painted(painter, replace(BASE, prompt="a fox<hypernet:smoke>"))
    assert differ(plain, asked)
    assert "of hypernetwork smoke at 1 apply" in " ".join(asked.notes)
    with painter.hypernetwork("smoke"):
        assert not differ(asked, painted(painter))
    assert not differ(plain, painted(painter))


def test_an_embedding_is_called_by_its_name(painter: Painter) -> None:
    called = painted(painter, replace(BASE, prompt="a charcoal fox"))
    assert [file.kind for file in called.files] == ["checkpoint", "embedding"]
    assert "of embedding charcoal apply" in " ".join(called.notes)
    again = painted(painter, replace(BASE, prompt="a charcoal fox", seed=8))
    assert [file.kind for file in again.files] == ["checkpoint", "embedding"]
    in_negative = painted(painter, replace(BASE, negative="charcoal"))
    assert [report.name for report in painter.applied] == ["charcoal"]
    assert differ(in_negative, painted(painter))


def test_an_embedding_of_another_family_is_text_and_that_is_said(painter: Painter) -> None:
    made = painted(painter, replace(BASE, prompt="a broadsheet"))
    assert "768 wide, made for SD 1.x, and this model takes 128" in " ".join(made.notes)


def test_an_embedding_attached_by_hand_is_called_by_its_name(
    painter: Painter, tmp_path: Path
) -> None:
    prompt = replace(BASE, prompt="a fox in charcoal")
    shelfs = painted(painter, prompt)
    vectors = np.random.default_rng(9).standard_normal((1, 128)).astype(np.float32)
    path = tmp_path / "charcoal.safetensors"
    save(path, {"emb_params": tensor_from(vectors)})
    with painter.embedding(path):
        inside = painted(painter, prompt)
        assert differ(shelfs, inside)
        assert {f.path for f in inside.files if f.kind == "embedding"} == {str(path)}
    assert not differ(shelfs, painted(painter, prompt))
    with painter.embedding("charcoal"):
        assert not differ(shelfs, painted(painter, prompt))
    with pytest.raises(UsageError, match="nearest: charcoal"), painter.embedding("charcol"):
        pass


EVIL = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."


@pytest.mark.parametrize(("content", "error"), [(EVIL, Dangerous), (b"\x80\x02}", BadFile)])
def test_a_bad_embedding_fails_where_it_is_named_and_is_a_note_in_a_folder(
    small: Small, tmp_path: Path, content: bytes, error: type[SfumatoError]
) -> None:
    folder = tmp_path / "embeddings"
    folder.mkdir()
    path = folder / "quill.pt"
    path.write_bytes(content)
    prompt = replace(BASE, prompt="a fox by quill")
    for shelf in (Shelf((tmp_path,)), Shelf((folder,))):
        with Painter(load(small("sd1")), shelf=shelf) as found:
            assert "quill.pt" in " ".join(painted(found, prompt).notes)
            with pytest.raises(error), found.embedding(path):
                pass
    named = Shelf(files=(("embedding", path),))
    with Painter(load(small("sd1")), shelf=named) as found, pytest.raises(error):
        painted(found)


def test_adapters_at_work_are_named_where_the_unet_gives_nan(small: Small, shelf: Shelf) -> None:
    with Painter(load(small("sd1")), shelf=shelf) as found:
        with torch.no_grad():
            found.model.unet.out[2].bias.fill_(float("nan"))  # pyright: ignore
        prompt = "a charcoal fox <lora:ink:50> <hypernet:smoke:2>"
        named = "LoRA ink at 50, hypernetwork smoke at 2 and embedding charcoal"
        with pytest.raises(SfumatoError, match=named):
            painted(found, replace(BASE, prompt=prompt))


def test_a_lora_brings_its_embeddings_along(painter: Painter) -> None:
    without = painted(painter, replace(BASE, prompt="quill<lora:ink:0>"))
    along = painted(painter, replace(BASE, prompt="quill<lora:carrier:0>"))
    assert differ(without, along)


def test_another_vae_shows_the_same_latent_otherwise(painter: Painter, small: Small) -> None:
    plain = painted(painter)
    with painter.vae("matte"):
        matte = painted(painter)
        with painter.vae("none"):
            assert not differ(plain, painted(painter))
        assert not differ(matte, painted(painter))
    assert differ(plain, matte)
    assert "VAE: matte.vae.safetensors, because it was asked for" in " ".join(matte.notes)
    assert matte.record.fields["VAE"] == "matte.vae.safetensors"
    assert not differ(plain, painted(painter))
    with Painter(load(small("sd1")), shelf=painter.shelf, vae="matte") as other:
        assert not differ(matte, painted(other))
        with other.vae("none"):
            assert not differ(plain, painted(other))


def test_a_checkpoint_without_vae_paints_with_one_that_is_given(
    painter: Painter, tmp_path: Path
) -> None:
    bare = {n: t for n, t in checkpoint("sd1").items() if not n.startswith(VAE_PREFIX)}
    save(tmp_path / "bare.safetensors", bare)
    with pytest.raises(UsageError, match="has no VAE inside"):
        Painter(load(tmp_path / "bare.safetensors"), shelf=painter.shelf)
    found = Painter(load(tmp_path / "bare.safetensors"), shelf=painter.shelf, vae="matte")
    with found, painter.vae("matte"):
        assert not differ(painted(found), painted(painter))


def test_what_is_nowhere_is_left_out_and_said_with_the_nearest_name(painter: Painter) -> None:
    made = painted(painter, replace(BASE, prompt="a fox<lora:inc:1>"))
    assert "ink" in next(note for note in made.notes if "inc" in note)
    assert not differ(made, painted(painter))
    with pytest.raises(UsageError, match="ink"), painter.lora("inc"):
        pass


def test_an_alias_that_two_loras_have_is_left_out_and_both_are_named(
    small: Small, tmp_path: Path
) -> None:
    model = load(small("sd1"))
    for name in ("one", "two"):
        path = tmp_path / "Lora" / f"{name}.safetensors"
        saved(path, arrays(model, "lora", ("attn2",)), ss_output_name="pen")
    with Painter(model, shelf=Shelf((tmp_path,))) as found:
        said = " ".join(painted(found, replace(BASE, prompt="a fox <lora:pen:1>")).notes)
        assert "one.safetensors and" in said and "two.safetensors" in said
        assert "it is left out" in said


def test_a_lora_of_another_family_is_refused_and_the_model_is_clean(painter: Painter) -> None:
    before = weights(painter.model)
    with pytest.raises(Refused, match="stranger"):
        painted(painter, replace(BASE, prompt="a fox<lora:ink:1><lora:stranger:1>"))
    assert not changed(painter.model, before)
    painted(painter)


def test_closing_in_the_middle_leaves_the_model_as_its_file_is(painter: Painter) -> None:
    before = weights(painter.model)
    request = replace(BASE, prompt="a fox<lora:ink:1><hypernet:smoke>")
    plain = painted(painter)
    painting = painter.paint(request)
    assert isinstance(next(painting), Progress)
    assert changed(painter.model, before)
    painting.close()
    assert not changed(painter.model, before)
    assert not differ(plain, painted(painter))


def test_the_second_pass_has_loras_of_its_own(painter: Painter) -> None:
    plain = painted(painter, replace(BASE, hires=Hires(1.5, steps=2)))
    second = replace(BASE, hires=Hires(1.5, steps=2, prompt="a fox<lora:ink:1>"))
    made = painted(painter, replace(second, batch=1))
    assert differ(plain, made)
    assert [file.name for file in made.files if file.kind == "lora"] == ["ink"]
    first = painted(painter, replace(second, prompt="a charcoal fox<lora:wash:1>"))
    used = {file.name for file in first.files} & {"ink", "wash", "charcoal"}
    assert used == {"ink", "wash", "charcoal"} == {report.name for report in painter.applied}
    both = [e for e in painter.paint(replace(second, batch=2)) if isinstance(e, Picture)]
    assert not differ(made, both[0])


def test_weights_that_left_memory_come_back_with_their_loras(
    small: Small, shelf: Shelf, painter: Painter
) -> None:
    requests = [
        replace(BASE, prompt=f"a fox{tags}", seed=seed)
        for seed, tags in enumerate(("", "<lora:ink:1>", "<lora:ink:1>", "<hypernet:smoke>", ""))
    ]
    with Painter(load(small("sd1")), shelf=shelf, offload=True) as found:
        for request in requests:
            assert not differ(painted(found, request), painted(painter, request))


STAGES: dict[str, str] = {
    "attaching": "sfumato.engine.adapters.patches.add_layer",
    "encoding": "sfumato.engine.painting.conditions.encode",
    "sampling": "sfumato.engine.painting.passes.first_latent",
    "enlarging": "sfumato.engine.painting.work.enlarge",
    "decoding": "sfumato.engine.painting.work.images",
    "finishing": "sfumato.engine.painting.work.picture",
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("offload", [False, True])
def test_an_interrupt_at_any_stage_leaves_the_model_as_its_file_is(
    stage: str, offload: bool, small: Small, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = replace(
        BASE, prompt="a fox<lora:ink:1><hypernet:smoke>", hires=Hires(1.5, steps=1), tiling=True
    )
    with Painter(load(small("sd1")), shelf=shelf, offload=offload) as found:
        before = weights(found.model)
        plain = painted(found)

        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(STAGES[stage], interrupted)
            painted(found, request)
        if not offload:
            assert not changed(found.model, before)
        assert not differ(plain, painted(found))


def test_a_lora_works_the_same_on_a_model_from_a_folder(
    small: Small, shelf: Shelf, painter: Painter, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    convert(small("sd1"), folder, container="diffusers-folder")
    with Painter(load(folder), shelf=shelf) as found:
        request = replace(BASE, prompt="a fox<lora:ink:1>")
        assert not differ(painted(found, request), painted(painter, request))


def test_a_refiner_of_the_same_family_gets_the_loras_too(
    small: Small, shelf: Shelf, tmp_path: Path
) -> None:
    write(tmp_path / "second.safetensors", "sd1", seed=3)
    both = Shelf((*shelf.folders, tmp_path))
    request = replace(BASE, steps=6, refiner="second", refiner_switch=0.4)
    with Painter(load(small("sd1")), shelf=both) as found:
        plain = painted(found, request)
        inked = painted(found, replace(request, prompt="a fox<lora:ink:1>"))
        assert differ(plain, inked)
        assert not differ(plain, painted(found, request))
