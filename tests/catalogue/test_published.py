"""The record of published files is in order, and hashes lead to it as far as they may."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sfumato.catalogue.published import (
    Match,
    PublishedFile,
    editions,
    files,
    find_hash,
    find_line,
    fold,
    is_hash,
    lines,
    lookup,
    nearest,
    relatives,
    search,
)
from sfumato.catalogue.record import DATA
from sfumato.containers.hashes import EMPTY, Hashes, hash_file

HEX = set("0123456789abcdef")


def named(file_name: str) -> PublishedFile:
    return next(file for file in files() if file_name in file.files)


def only(matches: list[Match]) -> Match:
    (match,) = matches
    return match


# the record


def test_the_record_is_small_and_whole() -> None:
    assert sum(path.stat().st_size for path in DATA.glob("*.json")) < 1_000_000
    assert len(files()) == 455
    assert {file.line for file in files()} == {line.key for line in lines()}


def test_every_hash_on_record_has_the_form_of_its_sort() -> None:
    for file in files():
        forms = {
            file.sha256: (0, 10, 12, 64), file.payload: (0, 12, 64), file.blake3: (0, 64),
            file.crc32: (0, 8), file.autov1: (0, 8), file.quick: (0, 64),
        }  # fmt: skip
        assert all(len(value) in lengths for value, lengths in forms.items()), file.title
        assert set("".join(forms)) <= HEX


def test_the_empty_short_hash_names_no_file() -> None:
    assert all(file.autov1 != EMPTY for file in files())


def test_whole_hashes_are_unique() -> None:
    for key in ("sha256", "blake3"):
        known = [value for file in files() if (value := getattr(file, key))]
        assert len(set(known)) == len(known)


def test_words_on_record_are_of_the_known_sets() -> None:
    assert {file.confidence for file in files()} == {"P", "S+", "S"}
    assert {file.dtype for file in files()} == {"", "F16", "F32"}
    assert {file.ema for file in files()} == {"", "ema-only", "both", "non-ema"}
    assert {line.kind for line in lines()} == {"base", "checkpoint", "vae", "lora", "embedding"}


def test_every_name_of_a_line_leads_to_it_and_to_no_other() -> None:
    for line in lines():
        for name in (line.key, line.title, *line.aliases):
            assert find_line(name) is line, name
            assert find_line(f" {name.upper()} ") is line


def test_every_advised_file_is_an_edition_of_its_line() -> None:
    for line in lines():
        own = {name for file in editions(line) for name in file.files}
        for choice in (line.paint, line.tune):
            assert choice is None or (choice.take and set(choice.take) <= own), line.title


def test_inpainting_files_are_never_advised_for_plain_painting() -> None:
    for line in lines():
        plain = [file for file in editions(line) if file.variant != "inpainting"]
        if line.paint is not None and plain:
            assert set(line.paint.take) & {name for file in plain for name in file.files}


def test_the_record_agrees_with_the_reference(shared: Path) -> None:
    def key(sha256: str | None, autov1: str | None, name: str, edition: str | None) -> str:
        return sha256 or autov1 or f"{name} {edition}"

    entries = json.loads((shared / "golden" / "known_hashes.json").read_text("utf-8"))
    ours = {key(f.sha256, f.autov1, f.name, f.edition): f for f in files()}
    for entry in entries:
        begin = entry["sha256"] or entry.get("sha256_prefix") or entry["autov2"]
        file = ours[key(begin, entry["legacy_hash"], entry["name"], entry["edition"])]
        assert file.name == entry["name"]
        assert file.size == (entry["size_bytes"] or 0)
        assert file.autov1 == (entry["legacy_hash"] or "")
        assert file.blake3 == entry.get("blake3", "")
        assert file.quick == entry.get("sdkit_quick_hash", "")
        assert bytes.fromhex(file.crc32)[::-1].hex() == entry.get("crc32", "")
        assert entry["family"].startswith(file.family)


# lookup


def test_a_whole_sha256_is_proof() -> None:
    file = named("v1-5-pruned-emaonly.safetensors")
    match = only(lookup(Hashes(sha256=file.sha256)))
    assert (match.file, match.certainty, match.by) == (file, "certain", "SHA-256")
    assert "It is Stable Diffusion 1.5" in match.sentence()


def test_a_blake3_hash_is_proof() -> None:
    file = named("dreamshaper_8.safetensors")
    match = only(lookup(Hashes(blake3=file.blake3)))
    assert (match.file, match.certainty) == (file, "certain")


def test_equal_tensor_bytes_are_proof_though_the_header_was_rewritten() -> None:
    file = named("sd_xl_base_1.0.safetensors")
    match = only(lookup(Hashes(size=5, sha256="0" * 64, payload=file.payload)))
    assert (match.file, match.certainty, match.by) == (file, "certain", "AutoV3")
    assert "whatever its header says" in match.sentence()


def test_twelve_digits_of_autov3_are_very_likely() -> None:
    match = only(lookup(Hashes(sha256="0" * 64, payload="7c6bad76eb54" + "0" * 52)))
    assert (match.file.name, match.certainty) == ("Detail Tweaker", "very likely")


def test_a_shortened_sha256_on_record_is_very_likely_where_all_its_digits_agree() -> None:
    begin = named("EasyNegativeV2.safetensors").sha256
    assert len(begin) == 12
    assert only(lookup(Hashes(sha256=begin + "0" * 52))).certainty == "very likely"
    assert lookup(Hashes(sha256=begin[:10] + "zz" + "0" * 52)) == []


def test_a_forged_beginning_does_not_match_a_whole_hash() -> None:
    file = named("v1-5-pruned-emaonly.safetensors")
    assert lookup(Hashes(sha256=file.autov2 + "0" * 54)) == []


def test_crc32_with_the_size_is_likely_and_with_another_size_nothing() -> None:
    file = named("dreamshaper_8.safetensors")
    assert only(lookup(Hashes(size=file.size, crc32=file.crc32))).certainty == "likely"
    assert lookup(Hashes(size=file.size + 1, crc32=file.crc32)) == []


def test_the_quick_hash_is_likely() -> None:
    file = named("512-depth-ema.ckpt")
    match = only(lookup(Hashes(quick=file.quick)))
    assert (match.file, match.certainty) == (file, "likely")


def test_the_old_short_hash_is_one_of_these_and_never_proof() -> None:
    match = only(lookup(Hashes(autov1="a0f13c83")))
    assert match.certainty == "one of these"
    assert len(match.files) == 2
    assert "only 64 KiB" in match.sentence()


def test_a_file_with_another_sha256_is_only_related() -> None:
    match = only(lookup(Hashes(size=9, sha256="0" * 64, autov1="a0f13c83")))
    assert match.certainty == "related"
    assert match.sentence().startswith("It is not a published file on record")


def test_the_empty_short_hash_and_no_hash_at_all_match_nothing() -> None:
    assert lookup(Hashes(autov1=EMPTY)) == [] and lookup(Hashes()) == []


def test_a_stronger_hash_hides_a_weaker_one() -> None:
    file = named("realisticVisionV60B1_v51VAE.safetensors")
    found = lookup(Hashes(size=file.size, sha256=file.sha256, autov1=file.autov1))
    assert [match.certainty for match in found] == ["certain"]


@pytest.mark.parametrize(
    ("fixture", "name", "certainty"),
    [
        ("embedding-EasyNegative.safetensors", "EasyNegative", "certain"),
        ("vae-approx.pt", "VAE-approx (SD1/2 preview decoder)", "certain"),
        ("embedding-a1111-bad_prompt_version2.pt", "bad_prompt_version2", "very likely"),
    ],
)
def test_real_files_are_recognised(real: Path, fixture: str, name: str, certainty: str) -> None:
    match = only(lookup(hash_file(real / fixture)))
    assert (match.file.name, match.certainty) == (name, certainty)


def test_a_real_file_that_is_not_on_record_is_not_recognised(real: Path) -> None:
    assert lookup(hash_file(real / "lora-diffusers.bin")) == []


def test_every_certainty_has_a_sentence_that_names_the_file() -> None:
    file = replace(named("dreamshaper_8.safetensors"), name="NAME")
    for certainty in ("certain", "very likely", "likely", "one of these", "related"):
        for by in ("SHA-256", "AutoV3", "AutoV1"):
            assert "NAME 8" in Match((file,), certainty, by).sentence()


# hashes as people print them


def test_civitai_prints_crc32_with_its_bytes_reversed() -> None:
    file = named("dreamshaper_8.safetensors")
    swapped = bytes.fromhex(file.crc32)[::-1].hex().upper()
    assert only(find_hash(swapped)).file == only(find_hash(file.crc32)).file == file


@pytest.mark.parametrize("text", ["879db523c3", "0x879DB523C3", " 879db523c30d "])
def test_a_printed_beginning_of_sha256_is_found(text: str) -> None:
    assert only(find_hash(text)).file == named("dreamshaper_8.safetensors")


def test_any_whole_hash_is_found_without_saying_its_sort() -> None:
    file = named("sd_xl_base_1.0.safetensors")
    for value in (file.sha256, file.payload, file.quick):
        assert only(find_hash(value)).file == file


@pytest.mark.parametrize("text", ["", "1234567", "dreamshaper", "g" * 10, "0" * 65, EMPTY])
def test_what_is_no_hash_or_names_nothing_is_not_found(text: str) -> None:
    assert find_hash(text) == []


def test_hashes_are_told_from_names() -> None:
    assert is_hash("DE2F2560") and not is_hash("deliberate") and not is_hash("facade")


# names


def test_words_are_searched_in_names_editions_and_file_names() -> None:
    assert {file.name for file in search(["realistic", "hyper"])} == {"Realistic Vision"}
    assert all("5.1" in file.edition for file in search(["realisticvision", "V5.1"]))
    assert search(["no such model"]) == []


def test_a_number_is_not_found_inside_other_numbers() -> None:
    assert not any(file.name == "Hyper-SD" for file in search(["5.1"]))


def test_a_search_is_limited_to_a_kind_and_a_family() -> None:
    assert {file.kind for file in search([], kind="lora")} == {"lora"}
    assert {file.family for file in search([], family="sdxl")} == {"sdxl"}
    assert search(["dreamshaper"], family="sd2") == []
    assert len(search([])) == len(files())


def test_spacing_and_case_do_not_matter_for_the_name_of_a_line() -> None:
    assert find_line("SD-1.5") is find_line("stable diffusion 1.5") is not None
    assert find_line("") is None and find_line("--") is None
    assert fold("SD 1.5 – ema") == "sd15ema"


def test_a_misspelt_name_has_near_ones() -> None:
    assert nearest("dreamshapr")[0] == "DreamShaper"
    assert nearest("xyzzyq") == []


def test_lines_of_like_names_point_at_each_other() -> None:
    anything = find_line("anything")
    assert anything is not None
    assert {line.title for line in relatives(anything)} == {"Anything V4", "Anything XL"}
