"""Runs a tool of the folders here: `python scripts NAME ARGUMENT…`. Without a name, lists them."""

import runpy
import sys
from pathlib import Path

import clone

FOLDERS = ("fixtures", "pages", "torture")


def tools() -> dict[str, Path]:
    """Every file of the folders that can be run."""
    paths = (path for folder in FOLDERS for path in sorted((clone.ROOT / "scripts" / folder).glob("*.py")))
    return {path.stem: path for path in paths if 'if __name__ == "__main__":' in path.read_text("utf-8")}


def listing() -> str:
    """Each tool and the first line of what it says about itself."""
    about = {name: path.read_text("utf-8").partition('"""')[2].splitlines()[0] for name, path in tools().items()}
    return "\n".join(f"{name:24}{line}" for name, line in about.items())


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0].startswith("-"):
        print(f"{__doc__}\n\n{listing()}")
        return
    name = arguments[0]
    if "." not in name:  # a dotted one is a module of any folder, as the benchmark starts them
        if name not in tools():
            sys.exit(f"Error: there is no tool {name!r}. Try: python scripts")
        name = f"{tools()[name].parent.name}.{name}"
    sys.argv = [name, *arguments[1:]]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
