"""Which networks stand where in a file: every name sorted to the network it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from sfumato.catalogue.component import Match, settle
from sfumato.catalogue.layouts import LAYOUTS, AnyLayout
from sfumato.catalogue.regions import LOOSE, PREFIXES, REGIONS, TEXT_ROLES, Region
from sfumato.catalogue.trees.shapes import Shape, Shapes

STRAY = 20
"""names that belong nowhere before other prefixes are searched for"""


@dataclass(frozen=True, slots=True)
class Loose:
    """A network recognised by one key, with everything that stands under its prefix."""

    prefix: str
    region: Region
    family: str


@dataclass(slots=True)
class Survey:
    """What was found in a file."""

    shapes: Shapes
    matches: list[Match] = field(default_factory=list[Match])
    loose: list[Loose] = field(default_factory=list[Loose])
    owners: dict[str, Match | Loose] = field(default_factory=dict[str, Match | Loose])
    """name → the network it belongs to"""
    regions: Mapping[str, list[str]] = field(default_factory=dict[str, list[str]])
    """prefix → names under it and under no longer one"""
    wrapper: str = ""
    """what a program's wrapper put before every name: `module.`; empty for none"""


WRAPPERS = ("module.", "state_dict.", "_orig_mod.")
"""what torch's data parallel, programs, and torch's compiler put before every name"""


def survey(shapes: Shapes) -> Survey:
    """Find every network in a file, at the usual prefixes and, failing that, at any other."""
    first = next(iter(shapes), "")
    wrapper = next((wrapper for wrapper in WRAPPERS if first.startswith(wrapper)), "")
    if not wrapper or not all(name.startswith(wrapper) for name in shapes):
        return _survey(shapes)
    inner = _survey({name[len(wrapper) :]: shape for name, shape in shapes.items()})
    return _wrapped(inner, wrapper, shapes)


def _wrapped(inner: Survey, wrapper: str, shapes: Shapes) -> Survey:
    """What was found, under the names it has in the file."""
    new: dict[int, Match | Loose] = {
        id(x): replace(x, prefix=wrapper + x.prefix) for x in (*inner.matches, *inner.loose)
    }
    owners = {wrapper + name: new[id(owner)] for name, owner in inner.owners.items()}
    return Survey(
        shapes,
        [x for x in new.values() if isinstance(x, Match)],
        [x for x in new.values() if isinstance(x, Loose)],
        owners,
        {wrapper + p: [wrapper + name for name in names] for p, names in inner.regions.items()},
        wrapper,
    )


def _survey(shapes: Shapes) -> Survey:
    found = Survey(shapes)
    heads = {name.partition(".")[0] for name in shapes}
    prefixes = [p for p in PREFIXES if not p or p.partition(".")[0] in heads]
    _look_loose(found, shapes, prefixes)
    _look(found, list(_sites(shapes, prefixes)), shapes)
    if sum(_is_stray(found, name) for name in shapes) > STRAY:
        sites = _search(found)
        if sites:
            _look(found, sites, shapes)
    return found


Site = tuple[str, AnyLayout]
"""a prefix, and the layout whose anchor stands there"""


def _sites(shapes: Shapes, prefixes: Iterable[str]) -> Iterator[Site]:
    for prefix in prefixes:
        for layout in LAYOUTS:
            if any(prefix + anchor in shapes for anchor in layout.anchors) and not any(
                prefix + veto in shapes for veto in layout.vetoes
            ):
                yield prefix, layout


def _look(found: Survey, sites: list[Site], shapes: Shapes) -> None:
    """Compare what stands at `sites` with their layouts and note who owns which name."""
    fixed = (region.prefix for region in REGIONS)
    found.regions = group(
        shapes, {p for p, _ in sites} | {x.prefix for x in found.loose} | {*fixed}
    )
    for prefix, layout in sites:
        names = found.regions[prefix]
        inner = {n[len(prefix) :]: shapes[n] for n in names if n not in found.owners}
        match = layout.measure(inner, prefix) if inner else None
        if match is not None:
            match = settle(_with_role(match), found.shapes)
            found.matches.append(match)
            found.owners.update(dict.fromkeys([prefix + name for name in match.found], match))
    for loose in found.loose:
        for name in found.regions[loose.prefix]:
            found.owners.setdefault(name, loose)


def _look_loose(found: Survey, shapes: Shapes, prefixes: Iterable[str]) -> None:
    for anchor, region, family in LOOSE:
        for prefix in prefixes:
            if prefix + anchor in shapes:
                found.loose.append(Loose(prefix, region, family))


def _with_role(match: Match) -> Match:
    """A prefix such as `text_encoder_2.` says more about the role than the sizes do."""
    if match.prefix.startswith("model_ema."):
        return replace(match, role="ema")  # an averaged copy whose names kept their dots
    if not match.role.startswith("text_encoder"):
        return match
    for prefix, role in TEXT_ROLES:
        if match.prefix.endswith(prefix):
            return replace(match, role=role)
    return match


def group(names: Iterable[str], prefixes: Iterable[str]) -> dict[str, list[str]]:
    """Every name under the longest of `prefixes` it begins with; `""` takes the rest."""
    groups: dict[str, list[str]] = {prefix: [] for prefix in {*prefixes, ""}}
    heads: dict[str, list[str]] = {}
    for prefix in sorted(groups, key=len, reverse=True):
        if prefix:
            heads.setdefault(prefix.partition(".")[0], []).append(prefix)
    run, longer, pile = "\n", tuple[str, ...](), groups[""]
    for name in names:
        # Names of one network mostly follow each other.
        if not name.startswith(run) or name.startswith(longer):
            own = heads.get(name.partition(".")[0], ())
            prefix = next((p for p in own if name.startswith(p)), "") if own else ""
            longer = tuple(p for p in own if p != prefix and p.startswith(prefix)) if own else ()
            run, pile = prefix or "\n", groups[prefix]
        pile.append(name)
    return groups


_FIXED = tuple(region.prefix for region in REGIONS)


def _is_stray(found: Survey, name: str) -> bool:
    return name not in found.owners and not name.startswith(_FIXED)


def _search(found: Survey) -> list[Site]:
    """Layouts at prefixes that are not among the usual ones."""
    anchors = {anchor for layout in LAYOUTS for anchor in layout.anchors}
    # The longest comes first: the end of one layout's anchor may be another layout's.
    endings = tuple(sorted(anchors, key=lambda anchor: (-len(anchor), anchor)))
    prefixes: dict[str, None] = {}
    for name in found.shapes:
        if name.endswith(endings) and _is_stray(found, name):
            anchor = next((a for a in endings if name.endswith("." + a)), "")
            if anchor:
                prefixes[name[: -len(anchor)]] = None
    done = {(match.prefix, match.layout) for match in found.matches}
    stray: dict[str, Shape] = {n: s for n, s in found.shapes.items() if _is_stray(found, n)}
    sites = _sites(stray, list(prefixes)[:64])
    return [(p, layout) for p, layout in sites if (p, layout.name) not in done]
