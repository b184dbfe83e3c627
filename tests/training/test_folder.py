"""A folder of pictures: captions from wherever they are, and plain sentences on what was found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.errors import Damaged, Refused, UsageError
from sfumato.training.data.arrays import read_arrays, write_arrays
from sfumato.training.data.folder import find_pictures
from sfumato.training.data.items import Found
from sfumato.training.data.lesson import Lesson, find
from sfumato.training.data.picture import read_picture
from sfumato.training.settings import Data, EmbeddingShape, Run


def picture(path: Path, size: tuple[int, int] = (8, 8), caption: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(str(path).encode())
    Image.effect_noise(size, 40 + seed % 50).convert("RGB").save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, "utf-8")
    return path


def captions(found: Found) -> dict[str, tuple[str, ...]]:
    return {item.name: item.captions for item in found.items}


def test_captions_lie_beside_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", caption="a red fox\n\na fox\n")
    picture(tmp_path / "b.jpg")
    (tmp_path / "b.caption").write_text("a dog")
    found = find_pictures(tmp_path)
    assert captions(found) == {"a.png": ("a red fox", "a fox"), "b.jpg": ("a dog",)}
    assert {"captions of 1 from .txt", "captions of 1 from .caption"} <= set(found.notes)


def test_captions_stand_in_a_list(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "1.png")
    rows = [{"file_name": "1.png", "text": "a hen"}, {"file_name": "../gone.png", "text": "x"}]
    (tmp_path / "in" / "metadata.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    found = find_pictures(tmp_path)
    assert captions(found) == {"in/1.png": ("a hen",)}
    assert "1 picture of the list that are not there: gone.png" in found.notes


def test_captions_are_the_names_of_files_or_of_numbered_folders(tmp_path: Path) -> None:
    picture(tmp_path / "a_red-haired_fox.png")
    picture(tmp_path / "3_zwx dog" / "IMG_0001.png")
    found = find_pictures(tmp_path)
    assert captions(found) == {
        "a_red-haired_fox.png": ("a red-haired fox",), "3_zwx dog/IMG_0001.png": ("zwx dog",),
    }  # fmt: skip
    assert [item.repeats for item in found.items] == [3, 1]


def test_a_trigger_word_stands_for_what_has_no_caption(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    picture(tmp_path / "2.png", caption="by the sea")
    found = find_pictures(tmp_path, trigger="zwx")
    assert captions(found) == {"1.png": ("zwx",), "2.png": ("zwx, by the sea",)}
    assert "every caption holds the trigger word 'zwx'" in found.notes


def test_pictures_without_a_caption_are_told_with_the_cure(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    picture(tmp_path / "2.png", (16, 8))
    assert find_pictures(tmp_path).notes == (
        "2 pictures, from 8×8 to 16×8 pixels",
        "2 of 2 have no caption at all: put a .txt file beside each, or give a trigger word",
    )


def test_a_picture_that_cannot_be_read_is_left_out_and_said(tmp_path: Path) -> None:
    picture(tmp_path / "good.png")
    data = picture(tmp_path / "short.png", (64, 64)).read_bytes()
    (tmp_path / "short.png").write_bytes(data[:-400])
    (tmp_path / "text.jpg").write_text("no picture")
    found = find_pictures(tmp_path)
    assert [item.name for item in found.items] == ["good.png"]
    told = [note for note in found.notes if note.startswith("left out: ")]
    assert len(told) == 2 and all("is no whole picture" in note for note in told)


def test_what_a_person_may_have_meant_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "alone.txt").write_text("x")
    (tmp_path / "c.heic").write_bytes(b"x")
    notes = find_pictures(tmp_path).notes
    assert "2 files hold a picture that is there twice: a.png, b.png" in notes
    assert "1 caption without a picture: alone.txt" in notes
    assert "1 file of a kind that is not read: c.heic" in notes


def test_hidden_files_and_folders_are_not_looked_at(tmp_path: Path) -> None:
    for name in ("a.png", ".b.png", ".cache/c.png"):
        picture(tmp_path / name)
    assert captions(find_pictures(tmp_path)).keys() == {"a.png"}


def test_no_picture_at_all_is_refused_with_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="it is empty"):
        find_pictures(tmp_path)
    (tmp_path / "a.psd").write_text("x")
    with pytest.raises(Refused, match=r"its 1 files end in \.psd"):
        find_pictures(tmp_path)
    (tmp_path / "a.png").write_text("x")
    with pytest.raises(Refused, match="none of its 1 pictures can be read"):
        find_pictures(tmp_path)
    with pytest.raises(UsageError, match="there is no such folder"):
        find_pictures(tmp_path / "none")
    with pytest.raises(UsageError, match=r"data\.folder"):
        find(Data(), "")


@pytest.mark.parametrize("line", ["no json", '{"file_name": "a.png"}', "[1]"])
def test_a_list_that_is_none_is_damaged(tmp_path: Path, line: str) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(line)
    with pytest.raises(Damaged, match="line 1 is not JSON"):
        find_pictures(tmp_path)


def test_pictures_are_upright_on_white_and_of_three_colours(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 2), (255, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    assert read_picture(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new("RGB", (4, 2)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").size == (2, 4)
    Image.fromarray(np.full((2, 2), 0x8000, np.uint16)).save(tmp_path / "deep.png")
    assert read_picture(tmp_path / "deep.png").getpixel((0, 0)) == (128, 128, 128)


def test_arrays_hold_pictures_with_captions(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (3, 4, 6, 3), np.uint8)
    path = tmp_path / "all.safetensors"
    write_arrays(path, images, [["one"], ["two", "three"], []], list("abc"), repeats=[1, 2, 1])
    found = read_arrays(path, trigger="zwx")
    assert [item.captions for item in found.items] == [
        ("zwx, one",), ("zwx, two", "zwx, three"), ("zwx",),
    ]  # fmt: skip
    assert [(item.name, item.repeats, item.size) for item in found.items][1] == ("b", 2, (6, 4))
    assert (np.asarray(found.items[2].load()) == images[2]).all()


@pytest.mark.parametrize(
    ("captions", "sentence"),
    [("[1, 2]", "are no texts"), ('["a"]', "as many texts"), ("{", "is not JSON")],
)
def test_arrays_with_odd_captions_are_damaged(tmp_path: Path, captions: str, sentence: str) -> None:
    from sfumato.containers.arrays import tensor_from
    from sfumato.containers.save_file import save_file

    path = tmp_path / "odd.safetensors"
    images = tensor_from(np.zeros((2, 4, 4, 3), np.uint8))
    save_file(path, {"images": images}, {"captions": captions})
    with pytest.raises(Damaged, match=sentence):
        read_arrays(path)


def lesson(folder: Path, **data: object) -> Lesson:
    run = Run("embedding", "rex.pt", data=Data(folder=str(folder), **data))  # pyright: ignore
    return Lesson(run, 64)


def test_regularisation_pictures_are_as_many_as_the_others(tmp_path: Path) -> None:
    for name in ("in/1.png", "in/2.png", "in/3.png", "reg/5_dog/1.png", "reg/5_dog/2.png"):
        picture(tmp_path / name)
    found = lesson(tmp_path / "in", regularisation=str(tmp_path / "reg"), trigger="zwx")
    beside = [item for item in found.items if item.regularisation]
    assert [item.name for item in beside] == ["5_dog/1.png", "5_dog/2.png", "5_dog/1.png"]
    assert all(item.captions == ("dog",) and item.repeats == 1 for item in beside)
    assert "regularisation: 2 pictures, 8×8 pixels" in found.notes


def test_a_template_gives_every_picture_the_words_of_its_lines(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "1.png", caption="by the sea")
    (tmp_path / "t.txt").write_text("a photo of [name], [filewords]\n[name]\n")
    found = lesson(tmp_path / "in", template=str(tmp_path / "t.txt"))
    assert found.items[0].captions == ("a photo of rex, by the sea", "rex")
    run = Run("embedding", "x.pt", embedding=EmbeddingShape(name="kit"),
              data=Data(folder=str(tmp_path / "in"), template=str(tmp_path / "t.txt")))  # fmt: skip
    assert Lesson(run, 64).items[0].captions[1] == "kit"


def test_a_lesson_says_at_which_sizes_pictures_are_learned(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (64, 64))
    picture(tmp_path / "b.png", (40, 100))
    picture(tmp_path / "c.png", (16, 16))
    notes = lesson(tmp_path).notes
    assert "learned at 64×64 (1), 40×96 (1), 16×16 (1)" in notes
    assert any("1 of them are much smaller than 64×64" in note for note in notes)


def test_the_digest_knows_pictures_captions_and_sizes(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", (64, 64), "one")
    first = lesson(tmp_path).digest
    assert lesson(tmp_path).digest == first
    path.with_suffix(".txt").write_text("two")
    second = lesson(tmp_path).digest
    Image.new("RGB", (64, 64)).save(path)
    assert len({first, second, lesson(tmp_path).digest}) == 3
    assert lesson(tmp_path, resolution=32).digest != lesson(tmp_path).digest


def test_mirrored_and_cropped_draws_are_the_same_whenever_asked_for(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (64, 100))
    found = lesson(tmp_path, flip=True, crop="random", buckets=False)
    draws = [draw for number in range(8) for draw in found.order.at(number)]
    first = [found.picture(draw) for draw in draws]
    again = [found.picture(draw) for draw in reversed(draws)][::-1]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert {found.flipped(draw) for draw in draws} == {True, False}
