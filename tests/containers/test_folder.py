"""Folders that are one model: pipelines, components, adapters, sharded sets."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
import torch

from sfumato.containers.dtype import F16
from sfumato.containers.folders.folder import read_folder
from sfumato.containers.folders.shards import read_sharded
from sfumato.containers.folders.write import write_folder
from sfumato.containers.model_file import DIFFUSERS, PEFT, SAFETENSORS, SHARDED
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensors, tied
from sfumato.errors import Damaged, Dangerous, NotAModel, OutputExists, Refused, Unreadable
from toys import contents, random_tensor, random_tensors, write

UNET = "diffusion_pytorch_model"
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
}


def put(path: Path, tensors: Tensors | None = None, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, tensors or random_tensors({"a": (2,), "b": (3,)}), metadata, container=SAFETENSORS)
    return path


def put_json(path: Path, value: object) -> Path:
    return write(path, json.dumps(value).encode())


def pipeline(folder: Path) -> Path:
    put_json(folder / "model_index.json", INDEX)
    put_json(folder / "unet/config.json", {"in_channels": 4})
    put_json(folder / "scheduler/scheduler_config.json", {"prediction_type": "v_prediction"})
    put(folder / f"unet/{UNET}.safetensors", format="pt", step="3")
    put(folder / f"vae/{UNET}.safetensors")
    put(folder / "text_encoder/model.safetensors")
    return folder


def sharded(folder: Path, places: dict[str, str]) -> Path:
    for file in set(places.values()):
        if "/" not in file:
            names = [name for name, place in places.items() if place == file]
            put(folder / file, random_tensors(dict.fromkeys(names, (2,))))
    return put_json(folder / "model.safetensors.index.json", {"weight_map": places})


def test_a_pipeline_is_one_mapping_with_its_components_before_the_names(tmp_path: Path) -> None:
    with read_folder(pipeline(tmp_path / "p")) as model:
        assert model.container == DIFFUSERS
        assert list(model) == [
            "text_encoder.a",
            "text_encoder.b",
            "unet.a",
            "unet.b",
            "vae.a",
            "vae.b",
        ]
        assert model["unet.a"].read() == random_tensor((2,)).read()
        assert model.size == sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
        assert model.notes == ()


def test_configurations_are_metadata_under_their_path(tmp_path: Path) -> None:
    with read_folder(pipeline(tmp_path)) as model:
        assert json.loads(model.metadata["unet/config.json"]) == {"in_channels": 4}
        assert "v_prediction" in model.metadata["scheduler/scheduler_config.json"]
        assert "StableDiffusionPipeline" in model.metadata["model_index.json"]
        assert model.metadata["unet/step"] == "3"


def test_tensors_of_two_files_are_not_tied(tmp_path: Path) -> None:
    with read_folder(pipeline(tmp_path)) as model:
        assert not any(tied(a, b) for a, b in combinations(model.values(), 2))


@pytest.mark.parametrize(
    ("files", "variant", "chosen"),
    [
        ((f"{UNET}.bin", f"{UNET}.safetensors"), None, f"{UNET}.safetensors"),
        ((f"{UNET}.fp16.safetensors", f"{UNET}.safetensors"), None, f"{UNET}.safetensors"),
        ((f"{UNET}.fp16.safetensors", f"{UNET}.safetensors"), "fp16", f"{UNET}.fp16.safetensors"),
        ((f"{UNET}.bin", f"{UNET}.fp16.safetensors"), None, f"{UNET}.fp16.safetensors"),
        ((f"{UNET}.non_ema.safetensors", f"{UNET}.safetensors"), "fp16", f"{UNET}.safetensors"),
    ],
)
def test_the_plain_safetensors_file_is_preferred_and_the_choice_is_told(
    tmp_path: Path, files: tuple[str, ...], variant: str | None, chosen: str
) -> None:
    for file in files:
        put(tmp_path / "unet" / file, {file: random_tensor((1,))})
    with read_folder(tmp_path, variant=variant) as model:
        assert list(model) == [f"unet.{chosen}"]
        (note,) = model.notes
        assert note.startswith(f"unet: {chosen} was read, and not ")


def test_a_lone_variant_is_told(tmp_path: Path) -> None:
    put(tmp_path / f"vae/{UNET}.fp16.safetensors")
    with read_folder(tmp_path) as model:
        assert model.notes == (f"vae: {UNET}.fp16.safetensors was read, the variant fp16",)


def test_a_component_that_the_index_names_and_that_is_absent_is_noted(tmp_path: Path) -> None:
    put_json(tmp_path / "model_index.json", INDEX)
    put(tmp_path / f"unet/{UNET}.safetensors")
    with read_folder(tmp_path) as model:
        assert model.notes == ("model_index.json names vae, and there are no weights for it",)


@pytest.mark.parametrize("index", [b"[1]", b"{", b'{"unet":1,"../x":["a","b"]}', b'{"a":1,"a":1}'])
def test_a_strange_model_index_does_not_hide_the_weights(tmp_path: Path, index: bytes) -> None:
    write(tmp_path / "model_index.json", index)
    put(tmp_path / f"unet/{UNET}.safetensors")
    with read_folder(tmp_path) as model:
        assert list(model) == ["unet.a", "unet.b"]


def test_a_component_by_itself_has_plain_names(tmp_path: Path) -> None:
    with read_folder(pipeline(tmp_path) / "unet") as model:
        assert list(model) == ["a", "b"]
        assert model.metadata["step"] == "3"
        assert "config.json" in model.metadata


def test_a_peft_folder_is_read_with_its_configuration(tmp_path: Path) -> None:
    put_json(tmp_path / "adapter_config.json", {"r": 8})
    put(tmp_path / "adapter_model.safetensors", {"base_model.model.x": random_tensor((1,))})
    with read_folder(tmp_path) as model:
        assert model.container == PEFT
        assert list(model) == ["base_model.model.x"]
        assert model.metadata["adapter_config.json"] == '{"r": 8}'


def test_components_saved_by_torch_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    torch.save({"a": torch.ones(2)}, tmp_path / f"unet/{UNET}.bin")
    with read_folder(tmp_path) as model:
        assert contents(model)["unet.a"][:2] == ("F32", (2,))


def test_a_dangerous_component_makes_the_folder_dangerous(tmp_path: Path) -> None:
    pipeline(tmp_path)
    write(tmp_path / f"controlnet/{UNET}.bin", b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.")
    with pytest.raises(Dangerous):
        read_folder(tmp_path)


def test_shards_in_a_component_are_joined(tmp_path: Path) -> None:
    files = [f"{UNET}-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for n, file in enumerate(files):
        put(tmp_path / "unet" / file, {f"t{n}": random_tensor((2,))})
    places = {f"t{n}": file for n, file in enumerate(files)}
    put_json(tmp_path / f"unet/{UNET}.safetensors.index.json", {"weight_map": places})
    with read_folder(tmp_path) as model:
        assert list(model) == ["unet.t0", "unet.t1"]


@pytest.mark.parametrize("opening", [read_sharded, open_model])
def test_a_sharded_set_is_one_mapping(tmp_path: Path, opening: object) -> None:
    index = sharded(tmp_path, {"a": "one.safetensors", "b": "two.safetensors"})
    with opening(index) as model:
        assert model.container == SHARDED
        assert sorted(model) == ["a", "b"]
        assert not tied(model["a"], model["b"])


@pytest.mark.row(73)
def test_a_missing_part_is_damage(tmp_path: Path) -> None:
    index = sharded(tmp_path, {"a": "one.safetensors", "b": "two.safetensors"})
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(Damaged, match=r"1 of 2 parts are missing, such as two\.safetensors"):
        read_sharded(index)


@pytest.mark.row(73)
@pytest.mark.parametrize(
    "file",
    [
        *("../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..\\x.safetensors"),
        *("C:x.safetensors", "..", "", ".", "x\0.safetensors", "model.safetensors.index.json"),
        *("https://example.org/x.safetensors", 3, None, ["a.safetensors"]),
    ],
)
def test_an_index_that_points_elsewhere_is_damage(tmp_path: Path, file: object) -> None:
    write(tmp_path.parent / "x.safetensors", b"never opened")
    index = put_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"a": file}})
    with pytest.raises(Damaged, match="outside its folder or nowhere"):
        read_sharded(index)


@pytest.mark.row(73)
def test_a_tensor_in_two_parts_is_damage(tmp_path: Path) -> None:
    index = sharded(tmp_path, {"a": "one.safetensors", "b": "two.safetensors"})
    put(tmp_path / "three.safetensors", {"a": random_tensor((2,)), "c": random_tensor((2,))})
    places = {"a": "one.safetensors", "c": "three.safetensors"}
    put_json(index, {"weight_map": places})
    with pytest.raises(Damaged, match=r"a is in three\.safetensors and elsewhere"):
        read_sharded(index)


@pytest.mark.row(73)
@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        (b'{"weight_map":{"a":"x","a":"y"}}', Damaged, "stands twice"),
        (b"[" * 100_000, Damaged, "nested too deeply"),
        (b"\xff", Damaged, "not UTF-8"),
        (b"[]", NotAModel, "without a weight_map"),
        (b"{}", NotAModel, "without a weight_map"),
        (b'{"weight_map":{}}', NotAModel, "without a weight_map"),
        (b'{"weight_map":[]}', NotAModel, "without a weight_map"),
    ],
)
def test_an_index_that_is_none_is_refused(
    tmp_path: Path, text: bytes, kind: type[Exception], reason: str
) -> None:
    with pytest.raises(kind, match=reason):
        read_sharded(write(tmp_path / "model.safetensors.index.json", text))


@pytest.mark.row(73)
def test_a_part_without_the_tensor_it_should_have_is_damage(tmp_path: Path) -> None:
    index = sharded(tmp_path, {"a": "one.safetensors"})
    put_json(index, {"weight_map": {"a": "one.safetensors", "b": "one.safetensors"}})
    with pytest.raises(Damaged, match=r"b is not in one\.safetensors"):
        read_sharded(index)


@pytest.mark.row(73)
def test_a_truncated_component_is_damage_that_names_its_file(tmp_path: Path) -> None:
    bad = pipeline(tmp_path) / f"vae/{UNET}.safetensors"
    bad.write_bytes(bad.read_bytes()[:-1])
    with pytest.raises(Damaged, match=rf"vae/{UNET}\.safetensors: .*ends too early"):
        read_folder(tmp_path)


@pytest.mark.row(7)
def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(NotAModel, match="folder without weights"):
        read_folder(tmp_path)
    with pytest.raises(Unreadable, match="cannot be listed"):
        read_folder(tmp_path / "absent")


def test_a_configuration_that_is_too_large_or_no_json_is_left_out(tmp_path: Path) -> None:
    pipeline(tmp_path)
    write(tmp_path / "unet/config.json", b'"' + b"x" * (1 << 20) + b'"')
    write(tmp_path / "vae/config.json", b"\xff")
    with read_folder(tmp_path) as model:
        assert not {"unet/config.json", "vae/config.json"} & set(model.metadata)
        assert len(model.notes) == 2


def test_writing_a_folder_and_reading_it_gives_everything_back(tmp_path: Path) -> None:
    names = ("unet.a", "unet.b.c", "text_encoder_2.x", "vae.y")
    tensors = random_tensors(dict.fromkeys(names, (2, 3)), F16)
    texts = {"model_index.json": json.dumps(INDEX), "unet/config.json": "{}", "title": "toy"}
    saved = write_folder(tmp_path / "out", tensors, texts)
    assert (saved.container, saved.tensors, saved.verified) == (DIFFUSERS, 4, True)
    assert saved.nbytes == sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())
    with read_folder(tmp_path / "out") as model:
        assert contents(model) == contents({name: tensors[name] for name in model})
        assert set(model) == set(tensors)
        assert {
            key: model.metadata[key] for key in texts if ".json" in key
        }.items() <= texts.items()
        assert model.metadata["vae/title"] == "toy"


def test_the_files_of_a_folder_have_the_names_that_diffusers_looks_for(tmp_path: Path) -> None:
    tensors = random_tensors({"unet.a": (1,), "text_encoder.a": (1,), "vae.a": (1,)})
    save(tmp_path / "out", tensors, {"unet/config.json": "{}"}, container=DIFFUSERS)
    files = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("*.*")}
    assert files == {
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    }
    with open_model(tmp_path / "out/unet/diffusion_pytorch_model.safetensors") as model:
        assert model.metadata == {"format": "pt"}


def test_a_folder_replaces_a_pipeline_by_force_and_nothing_else(tmp_path: Path) -> None:
    target = pipeline(tmp_path / "out")
    tensors = random_tensors({"unet.new": (1,)})
    with pytest.raises(OutputExists):
        write_folder(target, tensors, {})
    write_folder(target, tensors, {}, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with read_folder(target) as model:
        assert list(model) == ["unet.new"]
    write(tmp_path / "home/letter.txt", b"dear")
    with pytest.raises(Refused, match="not a diffusers folder"):
        write_folder(tmp_path / "home", tensors, {}, force=True)
    with pytest.raises(Refused, match="is a file"):
        write_folder(tmp_path / "home/letter.txt", tensors, {}, force=True)


def test_a_folder_can_be_written_over_its_own_input(tmp_path: Path) -> None:
    with read_folder(pipeline(tmp_path / "p")) as model:
        before = contents(model)
        write_folder(tmp_path / "p", model, model.metadata, force=True)
    with read_folder(tmp_path / "p") as model:
        assert contents(model) == before


@pytest.mark.parametrize("name", ["plain", "unet.", ".a", "../x.a", "a/b.c", "C:.a"])
def test_names_that_begin_with_no_component_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="does not begin with a component"):
        write_folder(tmp_path / "out", {name: random_tensor((1,))}, {})
    assert list(tmp_path.iterdir()) == []


def test_texts_named_like_paths_are_never_written_outside(tmp_path: Path) -> None:
    texts = {"../evil.json": "{}", "/evil.json": "{}", "a/b/evil.json": "{}", "a\\e.json": "{}"}
    write_folder(tmp_path / "out", random_tensors({"unet.a": (1,)}), texts)
    assert not list(tmp_path.rglob("*.json"))


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    tensors = random_tensors({"unet.a": (1,), "vae.__metadata__": (1,)})
    with pytest.raises(Refused):
        write_folder(tmp_path / "out", tensors, {"model_index.json": "{}"})
    assert list(tmp_path.iterdir()) == []


def test_progress_of_a_folder_never_goes_back(tmp_path: Path) -> None:
    seen: list[int] = []
    tensors = random_tensors({"unet.a": (100,), "vae.a": (100,)})
    write_folder(tmp_path / "out", tensors, {}, progress=lambda done, _: seen.append(done))
    assert seen == sorted(seen)
