"""Sifts what the models know out of a tree: warns about the rest, makes every path absolute."""

from dataclasses import dataclass
from pathlib import Path

from agentic.config.findings import Findings, KeyPath, find_nearest
from agentic.config.locations import expand_home
from agentic.config.shape import ROOT, Shape
from agentic.config.tool_source import is_remote
from agentic.config.yaml_text import Tree


@dataclass(frozen=True, slots=True)
class Sieve:
    """Relative paths start at the file's `folder`, or at `cwd` when the environment gave them."""

    findings: Findings
    folder: Path
    cwd: Path
    home: Path

    def sift_mapping(
        self, tree: dict[str, Tree], path: KeyPath = (), shape: Shape = ROOT
    ) -> dict[str, Tree]:
        """`tree` without unknown keys, and without known ones that have no value."""
        sifted: dict[str, Tree] = {}
        for key, value in tree.items():
            here = (*path, key)
            known = shape.child(key)
            child = None if known is None else known.choose(value)
            if child is None:
                self._warn_unknown(here, shape)
            elif child.is_number and isinstance(value, bool):
                self.findings.add_error(here, f"is true or false, should be {child.describe()}")
            elif value is not None or key not in shape.names or child.takes_null:
                self._check_text(key, here)
                sifted[key] = self._sift(value, here, child)
        return sifted

    def _sift(self, tree: Tree, path: KeyPath, shape: Shape | None) -> Tree:
        if isinstance(tree, str):
            self._check_text(tree, path)
            is_path = (shape is not None and shape.is_path) or _is_path(tree, path)
            return self._make_absolute(tree, path) if is_path else tree
        if isinstance(tree, list):
            item = None if shape is None else shape.item
            return [self._sift(value, (*path, at), item) for at, value in enumerate(tree)]
        if isinstance(tree, dict):
            if shape is not None and shape.holds_mapping:
                return self.sift_mapping(tree, path, shape)
            return {key: self._sift(value, (*path, key), None) for key, value in tree.items()}
        return tree

    def _check_text(self, text: str, path: KeyPath) -> None:
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            self.findings.add_error(path, "holds NUL or half a character, which no text may hold")

    def _make_absolute(self, text: str, path: KeyPath) -> str:
        base = self.folder if self.findings.find_variable(path) is None else self.cwd
        try:
            return str(base / expand_home(text, self.home))
        except ValueError as error:
            self.findings.add_error(path, str(error))
            return text

    def _warn_unknown(self, path: KeyPath, shape: Shape) -> None:
        unknown = str(path[-1])
        longer = (name for name in shape.names if unknown.startswith(f"{name}_"))
        nearest = next(longer, None) or find_nearest(unknown, shape.names)
        hint = f"did you mean {nearest}?" if nearest else f"known here: {', '.join(shape.names)}"
        self.findings.add_warning(path, f"is not known and has no effect; {hint}")


def _is_path(text: str, path: KeyPath) -> bool:
    """A server's command that is not looked up in PATH, or a source's document that is a file."""
    match path:
        case ("servers", _, "command"):
            return "/" in text
        case ("tools", _, "openapi"):
            return not is_remote(text)
        case _:
            return False
