"""The gallery: `python docs/gallery.py REPORT...` writes `gallery.md`, the pictures, and what the README says of papers.

A report is the folder of `superpose reproduce`, of all experiments or some: the rest of the gallery stays as it is, and later folders
go before earlier ones. Without one only the README is written.
"""

import json
import re
import shutil
import sys
from pathlib import Path

from PIL import Image

from superpose.papers import experiments, papers

DOCS = Path(__file__).parent


def gallery(reports: list[Path]) -> None:
    """`gallery.md` and its pictures."""
    page = DOCS / "gallery.md"
    sections = dict(
        re.findall(r"^### ([\w-]+)\n\n(.*?)\n(?=\n##|\Z)", page.read_text(encoding="utf-8"), re.M | re.S)
    )
    for report in reports:
        for result in sorted((report / "results").iterdir()):
            sections[result.name] = _section(result)
    told = "\n".join(sections.values())
    claims, holds = (
        sum(map(int, re.findall(rf"(\d+) {word}", told))) for word in ("claims, of which", "hold\\.")
    )
    differs = len(re.findall("^- differs: ", told, re.MULTILINE))
    lines = [
        "# Gallery",
        f"Every experiment, as `superpose reproduce` ran it: {holds} of {claims} claims hold, {differs} of the papers' differ from what "
        f"is so, {claims - holds - differs} fail. Made by `python docs/gallery.py report`.",
    ]
    for paper in papers().values():
        names = [
            each.name for each in experiments().values() if each.paper == paper and each.name in sections
        ]
        lines += [f"## {paper.title}", *(f"### {name}\n\n{sections[name]}" for name in names)]
    page.write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def _section(result: Path) -> str:
    """The text of an experiment, whose pictures are copied."""
    name, summary = result.name, experiments()[result.name].summary
    claims = json.loads((result / "claims.json").read_text(encoding="utf-8"))
    shrunk(result / "figure.png", DOCS / "images" / f"{name}.webp")
    lines = [
        f"{summary} {len(claims)} claims, of which {sum(claim['status'] == 'holds' for claim in claims)} hold.",
        f"![{summary}](images/{name}.webp)",
    ]
    if (moving := result / "animation.gif").exists():
        shutil.copy(moving, DOCS / "images" / f"{name}.gif")
        lines.append(f"![The same, moving](images/{name}.gif)")
    lines += [
        "\n".join(
            f"- {claim['status']}: {claim['statement']} (expected {claim['expected']}, measured {claim['measured']})"
            for claim in claims
            if claim["status"] != "holds"
        )
    ]
    return "\n\n".join(filter(None, lines))


def readme() -> None:
    """What the README says of the papers: which there are, the front row of the gallery, how to cite them."""
    known = papers().values()
    lines = [
        f"- {f'[{each.title}]({each.link})' if each.link else each.title}, {each.authors} {each.year}: `superpose reproduce {each.name}`"
        for each in known
    ]
    cells = [
        f'<a href="docs/gallery.md#{name}"><img src="docs/images/{name}.webp" alt="{name}" width="270"></a>'
        for each in known
        for name in each.shown
    ]
    rows = ["| " + " | ".join(cells[at : at + 3]) + " |" for at in range(0, len(cells), 3)]
    path = DOCS.parent / "README.md"
    text = path.read_text(encoding="utf-8")
    for name, block in {
        "papers": lines,
        "gallery": ["| | | |", "|---|---|---|", *rows],
        "citing": ["```bibtex", *"\n".join(each.bibtex for each in known if each.bibtex).splitlines(), "```"],
    }.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
        text = text[: text.index(start) + len(start)] + "\n".join([*block, ""]) + text[text.index(end) :]
    path.write_text(text, encoding="utf-8")


def shrunk(picture: Path, to: Path, width: int = 1200) -> None:
    """A smaller copy of a picture, of at most this many pixels across."""
    image = Image.open(picture).convert("RGB")
    image.thumbnail((width, 10 * width))
    image.save(to, quality=88, method=6)


if __name__ == "__main__":
    if sys.argv[1:]:
        gallery([Path(each) for each in sys.argv[1:]])
    readme()
