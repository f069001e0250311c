"""Make ``src/postroom/template/lint/data/client_support.json`` from the data of "Can I email".

    npm pack caniemail@2.0.2
    tools/derive_client_support.py caniemail-2.0.2.tgz

The data set is MIT, copyright HTeuMeuLeu (https://www.caniemail.com); the npm package carries it, MIT as
well. What is kept: for every feature its title and one letter per client (``y`` supported, ``a`` partly,
``n`` not, ``u`` unknown) as of the newest version that was tested, and by which signs a page uses it.
"""

import argparse
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TARGET = (
    Path(__file__).resolve().parent.parent
    / "src"
    / "postroom"
    / "template"
    / "lint"
    / "data"
    / "client_support.json"
)
MIN_FEATURES = 200
"""Clients that were tested for fewer say nothing about a page."""
LEFT_OUT = frozenset(
    {
        *("css-comments", "html-comments", "html-doctype", "html-body", "css-sytem-ui", "css-nesting"),
        *("css-selector-grouping", "css-selector-type", "css-selector-class", "amp", "bimi", "image-mp4"),
    }
)
"""What every page has, what only ever is a fallback, and what is no matter of HTML or CSS."""
SIGNS: Mapping[str, Sequence[str]] = {
    "css-pseudo-class-lang": ["pseudo:lang"],
    "css-inert-attribute": ["attribute:inert"],
    "css-important": ["value:!important"],
    "css-variables": ["function:var"],
    "css-unit-initial": ["value:initial"],
    "css-intrinsic-size": ["value:fit-content", "value:min-content", "value:max-content"],
    "css-modern-color": ["function:lch", "function:oklch", "function:lab", "function:oklab"],
    "css-grid-template": [f"property:grid-template{end}" for end in ("", "-columns", "-rows", "-areas")],
    "css-column-layout-properties": [
        f"property:{name}" for name in ("columns", "column-width", "column-rule", "column-span")
    ],
    "css-border-inline-block-individual": [
        f"property:border-{side}-{end}"
        for side in ("inline-start", "inline-end", "block-start", "block-end")
        for end in ("color", "style", "width")
    ],
    "css-border-inline-block-longhand": [
        f"property:border-{side}" for side in ("inline-start", "inline-end", "block-start", "block-end")
    ],
    "css-border-radius-logical": [
        f"property:border-{corner}-radius" for corner in ("start-start", "start-end", "end-start", "end-end")
    ],
    "css-selector-adjacent-sibling": ["selector:+"],
    "css-selector-general-sibling": ["selector:~"],
    "css-selector-child": ["selector:>"],
    "css-selector-descendant": ["selector: "],
    "css-selector-attribute": ["selector:["],
    "css-selector-chaining": ["selector:.."],
    "css-selector-id": ["selector:#"],
    "css-selector-universal": ["selector:*"],
    "html-anchor-links": ["link:#"],
    "html-mailto-links": ["link:mailto"],
    "html-h1-h6": [f"element:h{level}" for level in range(1, 7)],
    "html-lists": ["element:ul", "element:ol", "element:dl"],
    "html-image-maps": ["element:map"],
    "html-address": ["element:address"],
    "html-meta-color-scheme": ["meta:color-scheme"],
    "html-srcset": ["attribute:srcset", "attribute:sizes"],
    "html-semantics": [
        f"element:{name}"
        for name in [
            "article",
            "aside",
            "details",
            "figcaption",
            "figure",
            "footer",
            "header",
            "main",
            "mark",
            "nav",
            "section",
            "summary",
            "time",
        ]
    ],
    "image-base64": ["image:data"],
    "image-jpg": ["image:jpg", "image:jpeg"],
    "image-tiff": ["image:tif", "image:tiff"],
    "image-heif": ["image:heif", "image:heic"],
}
"""Of features whose title does not say it."""


def signs_of(feature: Mapping[str, Any]) -> list[str]:
    """Return by what a page shows that it uses a feature, as ``kind:name``."""
    slug, title = str(feature["slug"]), str(feature["title"]).strip()
    if slug in SIGNS:
        return list(SIGNS[slug])
    match feature["category"]:
        case "image":
            return [f"image:{slug.removeprefix('image-')}"]
        case "html":
            return list(_html_signs(title))
        case _:
            return list(_css_signs(title))


def _html_signs(title: str) -> Iterator[str]:
    if found := re.fullmatch(r'<(\w+) type="(\w+)"> element', title):
        yield f"{found[1]}:{found[2]}"
    elif found := re.search(r"<(\w+)>", title):
        yield f"element:{found[1]}"
    elif found := re.fullmatch(r"([\w-]+) attribute", title):
        yield f"attribute:{found[1]}"


def _css_signs(title: str) -> Iterator[str]:
    if title.startswith("@media ("):
        yield from (f"media:{name}" for name in re.findall(r"\(([a-z-]+)\)", title))
    elif title.startswith("@"):
        yield f"at:{title[1:]}"
    elif title.startswith(":"):
        yield "pseudo:" + title.strip(":()")
    elif found := re.fullmatch(r"(\S+) unit", title):
        yield f"unit:{found[1]}"
    elif found := re.fullmatch(r"([a-z-]+):\s*([a-z-]+)", title):
        yield f"pair:{found[1]}:{found[2]}"
    elif functions := re.findall(r"([a-z-]+)\(\)", title):
        yield from (f"function:{name}" for name in functions)
    else:
        plain = re.sub(r" (shorthand|(CSS )?property)$", "", title)
        yield from (f"property:{name}" for name in re.split(r"\s*[,&]\s*", plain))


def letter(versions: Mapping[str, str] | None) -> str:
    """Return how the newest version that was tested does."""
    if not versions:
        return "u"

    def natural(version: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", version)]

    return versions[max(versions, key=natural)][0]


def derived(data: Mapping[str, Any], package: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file's value."""
    features = [one for one in data["data"] if one["slug"] not in LEFT_OUT]
    tested = Counter(
        (family, platform)
        for one in features
        for family, platforms in one["stats"].items()
        for platform in platforms
    )
    clients = sorted(key for key, count in tested.items() if count >= MIN_FEATURES)
    families, platforms = data["nicenames"]["family"], data["nicenames"]["platform"]
    return {
        "source": "Can I email, https://www.caniemail.com",
        "licence": "MIT, see client_support.LICENSE.txt",
        "package": f"caniemail {package['version']} (npm)",
        "updated": data["last_update_date"][:10],
        "clients": {
            f"{family}.{platform}": f"{families[family]} ({platforms[platform]})"
            for family, platform in clients
        },
        "features": {
            one["slug"]: {
                "title": one["title"].strip(),
                "signs": signs_of(one),
                "support": "".join(
                    letter(one["stats"].get(family, {}).get(platform)) for family, platform in clients
                ),
            }
            for one in sorted(features, key=lambda one: str(one["slug"]))
        },
    }


def written(value: Mapping[str, Any]) -> str:
    """Return the file's text: one feature a line, so that a new version reads as a difference."""
    head = {key: part for key, part in value.items() if key != "features"}
    lines = [
        f"{json.dumps(slug)}: {json.dumps(one, ensure_ascii=False)}"
        for slug, one in value["features"].items()
    ]
    text = json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}")
    return text + ',\n "features": {\n' + ",\n".join(lines) + "\n}}\n"


def _member(archive: tarfile.TarFile, name: str) -> Mapping[str, Any]:
    file = archive.extractfile(f"package/{name}")
    if file is None:
        msg = f"{name} is no file of the package"
        raise SystemExit(msg)
    value: Mapping[str, Any] = json.load(file)
    return value


def main() -> None:
    """Run as the docstring says."""
    parser = argparse.ArgumentParser(description="Make the file of client support.")
    parser.add_argument("package", type=Path, help="what `npm pack caniemail` gave")
    with tarfile.open(parser.parse_args().package) as archive:
        value = derived(_member(archive, "data/caniemail.json"), _member(archive, "package.json"))
    without = [slug for slug, one in value["features"].items() if not one["signs"]]
    if without:
        msg = f"no sign is known for {', '.join(without)}"
        raise SystemExit(msg)
    TARGET.write_text(written(value), encoding="utf-8")
    print(f"{len(value['features'])} features, {len(value['clients'])} clients -> {TARGET}")


if __name__ == "__main__":
    main()
