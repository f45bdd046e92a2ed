"""The manual as data: its pages, their code blocks, links, headings, tables and code spans. docs/CONTRIBUTING.md says the rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("*.md", "docs/**/*.md", "workflows/**/*.md", "scripts/*.md", "data/*.md")
_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<info>.*)$")
_STATE = re.compile(r"<!-- state: (.+?) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, the line of the page its first line stands on, and its text."""

    language: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """A Markdown file. `state` names the state in which its console blocks start."""

    path: Path
    text: str
    blocks: tuple[Block, ...]
    prose: str = field(repr=False)  # the text with the blocks blanked out, line for line

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def state(self) -> str:
        found = _STATE.search(self.text)
        return found[1] if found else "empty"

    def of(self, *languages: str) -> list[Block]:
        return [block for block in self.blocks if block.language in languages]

    def links(self) -> Iterator[tuple[int, str]]:
        """Line and target of every link and image."""
        for number, line in enumerate(self.prose.splitlines(), 1):
            for target in re.findall(r"\]\(<?([^)\s>]+)>?\)", re.sub(r"`[^`]*`", "", line)):
                yield number, target

    def headings(self) -> list[str]:
        return [line.lstrip("#").strip() for line in self.prose.splitlines() if re.match(r"#{1,6} ", line)]

    def anchors(self) -> set[str]:
        return {anchor(heading) for heading in self.headings()}

    def spans(self) -> list[tuple[int, str]]:
        """Line and text of every `code span`."""
        return [
            (number, span)
            for number, line in enumerate(self.prose.splitlines(), 1)
            for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", line)
        ]

    def section(self, heading: str) -> str:
        """The prose below a heading, up to the next of any level. Raises KeyError."""
        lines = self.prose.splitlines()
        at = next((n for n, line in enumerate(lines) if re.match(r"#{1,6} ", line) and line.lstrip("#").strip() == heading), None)
        if at is None:
            raise KeyError(f"{self.name} has no heading {heading!r}")
        end = next((n for n in range(at + 1, len(lines)) if re.match(r"#{1,6} ", lines[n])), len(lines))
        return "\n".join(lines[at + 1 : end])


def anchor(heading: str) -> str:
    """The name GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")


def table(text: str) -> list[list[str]]:
    """The cells of the first Markdown table in `text`, header and rule left out; code marks removed."""
    rows = [line.strip() for line in text.splitlines() if line.strip().startswith("|")]
    return [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", row.strip("|"))] for row in rows[2:]]


@lru_cache(maxsize=1)
def all_pages() -> tuple[Page, ...]:
    """Every page of the repository, in the order of their paths."""
    paths = sorted({path for place in PLACES for path in ROOT.glob(place)})
    return tuple(read(path) for path in paths)


def page(name: str) -> Page:
    return read(ROOT / name)


def read(path: Path) -> Page:
    return parse(path, path.read_text("utf-8"))


def parse(path: Path, text: str) -> Page:
    """Raises ValueError for a block that is not closed."""
    blocks: list[Block] = []
    prose: list[str] = []
    opening: re.Match[str] | None = None
    content: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if opening is None and fence:
            opening, content, start = fence, [], number + 1
        elif opening is not None and fence and not fence["info"].strip() and len(fence["ticks"]) >= len(opening["ticks"]):
            blocks.append(Block(opening["info"].strip(), start, "\n".join(content)))
            opening = None
        elif opening is not None:
            content.append(line.removeprefix(opening["indent"]))
        else:
            prose.append(line)
            continue
        prose.append("")
    if opening is not None:
        raise ValueError(f"{path}: a block is not closed")
    return Page(path, text, tuple(blocks), "\n".join(prose))


def name_of(page: Page) -> str:
    return page.name


def variables(text: str) -> set[str]:
    return set(re.findall(r"\bMARKET_SPINE_[A-Z0-9_]*[A-Z0-9]\b(?!_)", text))
