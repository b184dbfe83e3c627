"""Every benchmark, with the peers in the same run; rewrites the table in benchmarks/README.md.

python benchmarks/run.py [inspect|convert|paint]…
"""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from measure import Run, alternate, median_peak, median_ratio, median_seconds, run

HERE = Path(__file__).parent
DATA = HERE / "data"
WORK = str(HERE / "work.py")
PAINTING = str(HERE / "painting.py")
MARKS = ("<!-- results -->", "<!-- /results -->")


def work(*arguments: str | Path) -> list[str]:
    """The command line of one job of work.py."""
    return [sys.executable, WORK, *map(str, arguments)]


def row(name: str, ours: list[Run], theirs: dict[str, list[Run]]) -> list[str]:
    """Table rows for one job: ours, then each peer with the ratio of wall times."""
    lines = [f"| {name} | sfumato | {_seconds(ours)} | {_mega(ours)} | |"]
    for peer, runs in theirs.items():
        ratio = median_ratio(ours, runs)
        lines.append(f"| | {peer} | {_seconds(runs)} | {_mega(runs)} | {ratio:.2f} × its time |")
    return lines


def _seconds(runs: list[Run]) -> str:
    return f"{median_seconds(runs):.3g} s"


def _mega(runs: list[Run]) -> str:
    return f"{median_peak(runs) / 1e6:.0f} MB"


def made(path: Path, *job: str) -> Path:
    """`path`, made by a process of its own where it is not there: this one must stay small."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        run(work(job[0], path, *job[1:]))
    return path


def inspect_many() -> list[str]:
    """1,000 safetensors and 200 torch-zip files, on one core, without reading tensor bytes."""
    lines: list[str] = []
    for name, count, peer, job in (
        ("safetensors", 1000, "safetensors.safe_open: names, shapes, dtypes", "peer-safe-open"),
        ("zips", 200, "torch.load(mmap=True, weights_only=True)", "peer-torch-load"),
    ):
        folder = made(DATA / name, f"make-{name}", str(count))
        commands = {
            "sfumato": work("inspect", folder),
            peer: work(job, folder),
            "start": work("start", folder),
        }
        runs = alternate(commands, rounds=3, core=0)
        speed = count / (median_seconds(runs["sfumato"]) - median_seconds(runs["start"]))
        title = f"inspect {count} torch-zip files" if name == "zips" else f"inspect {count} {name}"
        lines += row(f"{title}: {speed:.0f} files/s", runs["sfumato"], {peer: runs[peer]})
    return lines


def convert_large() -> list[str]:
    """The two conversions of full-size SD1 checkpoints, against copying and against torch."""
    both = made(DATA / "live-and-ema.ckpt", "make-checkpoint", "ema")
    single = made(DATA / "single.ckpt", "make-checkpoint", "")
    out = DATA / "out"
    lines: list[str] = []
    for name, job, source, wanted in (
        ("7.7 GB live + EMA .ckpt → 2.1 GB fp16 EMA safetensors", "ema-half", both, 2_132_500_000),
        ("4.3 GB .ckpt → safetensors, same dtype", "same", single, 4_265_000_000),
    ):
        commands = {
            "sfumato": work(job, source, out),
            "reading the input, writing as many bytes, fsync": work(
                "floor", source, out, str(wanted)
            ),
            "cp of the input": ["cp", str(source), str(out)],
            "torch.load + save_file": work(f"peer-{job}", source, out),
        }
        runs = alternate(commands, rounds=3)
        out.unlink(missing_ok=True)
        ours = runs.pop("sfumato")
        lines += row(name, ours, runs)
    return lines


def painting(*arguments: str | Path) -> list[str]:
    """The command line of one job of painting.py."""
    return [sys.executable, PAINTING, *map(str, arguments)]


def paint_full_size() -> list[str]:
    """Painting with full-size SD1.5 weights in fp32, beside diffusers."""
    place = DATA / "painting"
    if not place.exists():
        run(painting("make", place))
    lines: list[str] = []
    for title, job, told in (
        ("UNet step at 256², prompt and negative prompt", ("step", place, "256"), True),
        ("UNet step at 512², prompt and negative prompt", ("step", place, "512"), True),
        ("VAE decode of 512²", ("decode", place, "512"), True),
        ("LoRA of rank 32: attach, then detach", ("lora", place), True),
        ("start, load fp16 as fp32, first step at 256²", ("first-step", place), False),
        ("start, load, one step and decode at 512²", ("paint", place, "512"), False),
    ):
        peer = (f"peer-{job[0]}", *job[1:])
        commands = {"sfumato": painting(*job), "diffusers": painting(*peer)}
        runs = alternate(commands, rounds=3, told=told)
        found = row(title, runs.pop("sfumato"), runs)
        print("\n".join(found), file=sys.stderr, flush=True)
        lines += found
    return lines + _cold_start(place)


def _cold_start(place: Path) -> list[str]:
    """From the shell to a saved picture, with a small model."""
    out = DATA / "cold.png"
    command = Path(sys.executable).with_name("sfumato")
    ours = [str(command), "generate", "a lighthouse at dusk", "--model",
            str(place / "small.safetensors"), "--size", "128x128", "--steps", "10",
            "--seed", "1", "--force", "-o", str(out)]  # fmt: skip
    runs = alternate({"sfumato": ours, "diffusers": painting("peer-cold", place, out)}, rounds=3)
    title = "cold start to a saved picture, small model"
    return row(title, runs.pop("sfumato"), runs)


JOBS: dict[str, Callable[[], list[str]]] = {
    "inspect": inspect_many,
    "convert": convert_large,
    "paint": paint_full_size,
}


def main(chosen: list[str]) -> None:
    """Run the chosen benchmarks (all, where none is named) and write the table."""
    lines = [
        "| job | program | wall time | peak memory | ours, compared |",
        "|---|---|---|---|---|",
    ]
    for name in chosen or list(JOBS):
        found = JOBS[name]()
        print("\n".join(found), file=sys.stderr, flush=True)
        lines += found
    table = "\n".join(lines)
    print(table)
    if not chosen:
        _write(table)
        shutil.rmtree(DATA)


def _write(table: str) -> None:
    path = HERE / "README.md"
    text = path.read_text(encoding="utf-8")
    before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    about = f"Medians of three rounds; {platform.machine()}, Python {platform.python_version()}."
    path.write_text(f"{before}{MARKS[0]}\n{about}\n\n{table}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
