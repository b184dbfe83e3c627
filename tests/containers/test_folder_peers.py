"""Model folders beside the diffusers library: what it writes is read, what we write it reads."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from sfumato.containers.folders.folder import read_folder
from sfumato.containers.folders.write import write_folder

pytestmark = pytest.mark.slow


def tiny_vae() -> Any:  # noqa: ANN401
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers import AutoencoderKL

        return AutoencoderKL(block_out_channels=(32,), latent_channels=4, norm_num_groups=8)


def expected(vae: Any) -> dict[str, bytes]:  # noqa: ANN401
    return {name: value.numpy().tobytes() for name, value in vae.state_dict().items()}


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("shard", ["10GB", "40KB"])
def test_a_component_that_diffusers_saved_is_read(
    tmp_path: Path, variant: str | None, shard: str
) -> None:
    vae = tiny_vae()
    vae.save_pretrained(tmp_path / "vae", variant=variant, max_shard_size=shard)
    with read_folder(tmp_path / "vae") as model:
        assert {name: model[name].read() for name in model} == expected(vae)
        assert "AutoencoderKL" in model.metadata["config.json"]
        assert ("variant fp16" in " ".join(model.notes)) == (variant is not None)


def test_diffusers_reads_the_folder_we_write(tmp_path: Path) -> None:
    vae = tiny_vae()
    vae.save_pretrained(tmp_path / "theirs" / "vae")
    with read_folder(tmp_path / "theirs") as model:
        write_folder(tmp_path / "ours", model, model.metadata)
    again = type(vae).from_pretrained(tmp_path / "ours" / "vae")
    assert expected(again) == expected(vae)
