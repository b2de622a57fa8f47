"""Sifts what the models know out of a tree: warns about the rest, makes every path absolute."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from agentic.config.findings import Findings, KeyPath, find_nearest
from agentic.config.locations import expand_home
from agentic.config.shape import ROOT, Shape
from agentic.config.yaml_text import Tree


@dataclass(frozen=True, slots=True)
class Sieve:
    """Where relative paths start: at the file's folder, or at `cwd` when the environment gave them."""

    findings: Findings
    folder: Path
    cwd: Path
    home: Path

    def sift(self, tree: Tree, path: KeyPath = (), shape: Shape | None = ROOT) -> Tree:
        """`tree` without unknown keys and empty values (an empty value is the same as none)."""
        if isinstance(tree, str):
            return self._sift_text(tree, path, shape)
        if isinstance(tree, list):
            return [self.sift(value, (*path, index), None) for index, value in enumerate(tree)]
        if not isinstance(tree, dict):
            return tree
        if shape is None or not shape.holds_mapping:
            return {key: self.sift(value, (*path, key), None) for key, value in tree.items()}
        sifted: dict[str, Tree] = {}
        for key, value in tree.items():
            here = (*path, key)
            child = shape.child(key)
            if child is None:
                self._warn_unknown(here, shape)
            elif child.kind in (int, float) and isinstance(value, bool):
                self.findings.add_error(here, f"is true or false, should be {child.describe()}")
            elif value is not None or child.kind is JsonValue:
                sifted[key] = self.sift(value, here, child)
        return sifted

    def _sift_text(self, text: str, path: KeyPath, shape: Shape | None) -> str:
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            self.findings.add_error(path, "holds a character that no text may hold (NUL, or not UTF-8)")
            return text
        if (shape is not None and shape.kind is Path) or _is_command_path(text, path):
            return self._make_absolute(text, path)
        return text

    def _make_absolute(self, text: str, path: KeyPath) -> str:
        base = self.cwd if self.findings.is_from_environment(path) else self.folder
        try:
            return str(base / expand_home(text, self.home))
        except ValueError as error:
            self.findings.add_error(path, str(error))
            return text

    def _warn_unknown(self, path: KeyPath, shape: Shape) -> None:
        nearest = find_nearest(str(path[-1]), shape.names)
        hint = f"did you mean {nearest}?" if nearest else f"known here: {', '.join(shape.names)}"
        self.findings.add_warning(path, f"is not known and has no effect; {hint}")


def _is_command_path(text: str, path: KeyPath) -> bool:
    """Whether this is a server's command that is given by its place and not looked up in PATH."""
    return len(path) == 3 and path[0] == "servers" and path[2] == "command" and "/" in text  # noqa: PLR2004
