"""Markdown as models write it, at random but the same for each seed: well formed, or nasty."""

import random
from dataclasses import dataclass, field

_LETTERS = ("abcdefghijklmnopqrstuvwxyz", "äöüßéñ", "привет", "שלום", "你好世界", "😀🎉👍")
_LANGUAGES = ("", "py", "python", "go", "json", "c++")
_CODE_MARKS = ("", "()", " = 1", "[0]", "<T>", "**", "_x", " | y", "# ")
_MAX_BLOCKS = 12


@dataclass(slots=True)
class Writing:
    """A reply, and the words that must be seen in it, in order."""

    chance: random.Random
    words: list[str] = field(default_factory=list[str])
    urls: list[str] = field(default_factory=list[str])
    code: list[str] = field(default_factory=list[str])
    """Lines of code, to be seen as they are."""

    def write(self) -> str:
        blocks = [self._block() for _ in range(self.chance.randint(1, _MAX_BLOCKS))]
        return "\n\n".join(blocks)

    def _word(self) -> str:
        letters = self.chance.choice((*_LETTERS[:1] * 8, *_LETTERS))
        number = len(self.words)
        word = "".join(self.chance.choices(letters, k=self.chance.randint(2, 9))) + f"{number}w"
        self.words.append(word)
        return word

    def _phrase(self, most: int = 8) -> str:
        return " ".join(self._word() for _ in range(self.chance.randint(1, most)))

    def _inline(self, around: tuple[str, ...] = ()) -> str:
        """A few words, marked or not, but never within the same mark."""
        kinds = {"bold", "italic", "strike", "code", "link", "spoiler", "both"} - {*around}
        kind = self.chance.choice(["plain"] * len(kinds) + sorted(kinds))
        inner = (*around, kind, "both")
        if len(around) > 2:
            kind = "plain"
        match kind:
            case "bold":
                return f"**{self._line(inner)}**"
            case "italic":
                return f"_{self._line(inner)}_"
            case "both":
                return f"***{self._phrase()}***"
            case "strike":
                return f"~~{self._line(inner)}~~"
            case "code":
                return f"`{self._phrase(3)}`"
            case "link":
                words = self._phrase(3)
                self.urls.append(f"https://example.org/{len(self.urls)}?a=b&c={len(self.words)}")
                return f"[{words}]({self.urls[-1]})"
            case "spoiler":
                return f"||{self._phrase()}||"
            case _:
                return self._phrase()

    def _line(self, around: tuple[str, ...] = ()) -> str:
        """Some of that, with words between, so that no two marks meet."""
        shown = self._inline(around)
        for _ in range(self.chance.randint(0, 2)):
            shown = f"{shown} {self._word()} {self._inline(around)}"
        return shown

    def _paragraph(self) -> str:
        sentences = [f"{self._line()}." for _ in range(self.chance.choice((1, 2, 5, 40)))]
        return " ".join(sentences)

    def _block(self) -> str:
        match self.chance.choice(
            ("text", "text", "head", "list", "quote", "code", "table", "rule")
        ):
            case "head":
                return f"{'#' * self.chance.randint(1, 6)} {self._phrase()}"
            case "list":
                return self._list()
            case "quote":
                return "\n".join(f"> {self._line()}" for _ in range(self.chance.randint(1, 4)))
            case "code":
                return self._code()
            case "table":
                return self._table()
            case "rule":
                return f"{self._phrase()}\n\n---\n\n{self._phrase()}"
            case _:
                return self._paragraph()

    def _list(self) -> str:
        lines: list[str] = []
        mark = self.chance.choice(("- ", "* ", "1. ", "- [ ] ", "- [x] "))
        for number in range(self.chance.randint(1, 6)):
            shown = f"{number + 1}. " if mark == "1. " else mark
            lines.append(f"{shown}{self._line()}")
            if self.chance.random() < 0.3:
                lines.append(f"{' ' * len(shown.split('[')[0])}- {self._line()}")
        return "\n".join(lines)

    def _code(self) -> str:
        lines = self.chance.choice((1, 3, 20, 20, 150))
        begun = len(self.words)
        written = [
            "    " * self.chance.randint(0, 2) + self._phrase(4) + self.chance.choice(_CODE_MARKS)
            for _ in range(lines)
        ]
        assert begun < len(self.words)
        self.code.extend(written)
        return "\n".join([f"```{self.chance.choice(_LANGUAGES)}", *written, "```"])

    def _table(self) -> str:
        columns = self.chance.randint(2, 5)
        rows = [[self._cell() for _ in range(columns)] for _ in range(self.chance.randint(2, 6))]
        lines = [f"| {' | '.join(row)} |" for row in rows]
        return "\n".join([lines[0], "|" + "---|" * columns, *lines[1:]])

    def _cell(self) -> str:
        return (
            self._inline(("spoiler", "bold", "strike"))
            if self.chance.random() < 0.2
            else self._phrase(2)
        )


def write_reply(seed: int) -> tuple[str, Writing]:
    """The reply of this number, and what of it must be seen."""
    writing = Writing(random.Random(seed))
    return writing.write(), writing


_FRAGMENTS = (
    *("**", "*", "***", "__", "_", "`", "``", "```", "~~", "||", "|", "[", "](", "![", ">", "#"),
    *("- ", "1. ", "- [ ] ", "\n---\n", "\n===\n", "<b>", "</b>", "<!--", "<div>\n", "&amp;"),
    *("&#0;", "&#x202e;", r"\(", r"\[x\]", "$$", "$x$", "\\", "\u202e", "\u200d", "\ud800"),
    *("\0", "\t", "\r", "e\u0301", "a\u030a", "👩\u200d👩\u200d👧", "🇩🇪", "1️⃣", "\u3000"),
    *("\ufffc", "http://x.y", "@name", "/start"),
)
_WHOLES = (
    "**bold without an end",
    "`code without an end",
    "```py\nblock without an end",
    "[link](not a link) and [other](javascript:alert(1)) and [](http://x.y) and [x]()",
    "[a [b](http://x.y) c](http://z.w)",
    "[`code` in a link](http://x.y) and **`bold code`** and `**code**`",
    "||**spoiler `with` all**|| ~~**_deep_**~~",
    "> quote\n>> deeper\n>>> deepest\n```\nin none\n```",
    "> ```py\n> quoted code\n> ```\n> **and bold**",
    "- a\n  - b\n    - c\n      - d\n        - e\n\n          code",
    "| a |\n|---|\n",
    "| a | b |\n|---|\n| c |",
    "| [l](http://x.y) | `c|d` | e \\| f |\n|---|:-:|--:|\n| - | # x | > y |\n|||\n| 1 | 2 | 3 |",
    "| " + "wide " * 30 + "| x |\n|---|---|\n| " + "cell " * 60 + "| y |",
    "||||||||\n|-|-|-|-|-|-|-|\n||||||||",
    "# \n## \n### **x**\n####### seven",
    "<script>alert(1)</script> <img src=x onerror=y> a < b > c && d",
    "&lt;b&gt; &nbsp; &unknown; &#128512; &#xD800; &#99999999;",
    "$$\\frac{a}{b}$$ and \\(x^2\\) and $5 and $6",
    "a\\\nb\\*c\\_d\\`e\\",
    "\n" * 5_000 + "x" + " " * 5_000,
    "word " * 5_000,
    "x" * 20_000,
    "😀" * 4_096,
    "👩\u200d👩\u200d👧" * 2_000,
    "**" + "a" * 9_000 + "**",
    "[" + "a" * 9_000 + "](http://x.y)",
    "`" + "a b " * 3_000 + "`",
    "```\n" + "long line " * 2_000 + "\n```",
    "```py\n" + "x = 1\n" * 3_000 + "```",
    "```py\n" + "\tif x:\n\t\ty\n" * 100 + "```\n" + "**b** " * 150,
    "**b** " * 1_500,
    "`c` " * 1_500,
    "||a||" * 1_000,
    "[a](http://x.y) " * 400,
    "- item **x** `y`\n" * 300,
    "> q **x**\n" * 500,
    "**bold `code` bold** " * 200,
    "\u202e" + "אבג " * 2_000,
    "a\u0301" * 5_000,
    ">" * 5_000 + "x",
    "[" * 20_000,
    "*" * 5_000,
    "`" * 5_000,
    "| a " * 2_000 + "|\n" + "|---" * 2_000 + "|\n" + "| b " * 2_000 + "|",
    "😀**😀**😀`😀`" * 300,
    "** **",
    "`\u202e` **\u202e** _\u200d_",
    "[\u202e](http://x.y) [ ](http://x.y)",
    "a\n\n```\n\n\n```\n\nb",
)


def write_nasty() -> list[str]:
    """A hundred replies that are no good Markdown, or too much of it."""
    mixed = [
        "".join(random.Random(seed).choices((*_FRAGMENTS, "a b ", "c"), k=80))
        for seed in range(100 - len(_WHOLES))
    ]
    return [*_WHOLES, *mixed]
