"""Whatever is written reads back: any names, types and shapes, in every container there is."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import forms
from forms import FORMS, Form
from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.dtype import DTYPES
from sfumato.containers.gguf import plan_gguf
from sfumato.containers.model_file import CONTAINERS
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from toys import contents

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
each_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.write.__name__)


@each_form
@few
@given(data=st.data())
def test_any_model_reads_back_as_it_was_written(form: Form, data: st.DataObject) -> None:
    model = data.draw(form.models)
    with tempfile.TemporaryDirectory() as folder:
        path = form.write(Path(folder), model)
        with open_model(path) as found:
            assert found.container == form.container
            assert contents(found) == contents(model)


def test_no_container_is_left_out() -> None:
    assert {form.container for form in FORMS} == set(CONTAINERS)


@few
@given(
    vectors=forms.ONE | forms.PAIR,
    name=st.text(min_size=1, max_size=30),
    step=st.integers(0, 10**18 - 1) | st.none(),
    checkpoint=st.text(max_size=30) | st.none(),
)
def test_a_picture_gives_its_texts_back(
    vectors: forms.Model, name: str, step: int | None, checkpoint: str | None
) -> None:
    tree = {"name": name, "step": step, "sd_checkpoint_name": checkpoint}
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder, "a.png"), vectors, tree=tree)
        with open_model(Path(folder, "a.png")) as found:
            assert found.extras["name"] == name
            assert found.extras["step"] == step
            assert found.extras["sd_checkpoint_name"] == checkpoint


@few
@given(
    texts=st.dictionaries(
        st.text(min_size=1, max_size=8).filter(
            lambda key: not key.startswith(("general.", "split.", "comfy.", "tokenizer."))
        ),
        st.text(max_size=20),
        max_size=3,
    )
)
def test_gguf_gives_any_texts_back(texts: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder, "a.gguf"), {}, texts)
        with open_model(Path(folder, "a.gguf")) as found:
            assert found.metadata == texts


@few
@given(
    rows=st.integers(1, 4),
    blocks=st.integers(1, 3),
    dtype=st.sampled_from(["F32", "F16", "BF16"]),
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(-10, 3),
)
def test_blocks_of_eight_bits_are_within_half_a_step(
    rows: int, blocks: int, dtype: str, seed: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    numbers = (rng.standard_normal((rows, 32 * blocks)) * 2.0**scale).astype("<f4")
    tensor = tensor_from(numbers, DTYPES[dtype])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.gguf")
        save(path, {"a.weight": tensor}, plan=partial(plan_gguf, encoding="Q8_0"))
        with open_model(path) as found:
            meant = array(tensor).astype("f4").reshape(-1, 32)
            given_back = array(found["a.weight"])
    step = np.abs(meant).max(axis=1, keepdims=True) / 127
    # The step is stored in F16, with eleven bits, or fewer below 2^-14.
    slack = 127 * (step / 2**11 + 2.0**-25)
    assert (np.abs(given_back.reshape(-1, 32) - meant) <= step / 2 + slack).all()
