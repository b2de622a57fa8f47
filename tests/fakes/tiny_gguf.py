"""Writes a real GGUF file of a few hundred kilobytes: a llama whose weights are noise.

What it says is noise as well, but an engine loads it, and holds it to a grammar, as any other.
"""

import random
import struct
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

_WIDTH = 32
_HIDDEN = 64
_HEADS = 2
_ALIGNMENT = 32
_SPECIAL = ("<unk>", "<s>", "</s>")
_TOKENS = (*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)))
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)

Value = str | int | float | Sequence[str] | Sequence[float] | Sequence[int]


def write_tiny_gguf(path: Path, *, window: int = 16_384) -> Path:
    """Write the file; the same bytes each time."""
    facts: dict[str, Value] = {
        "general.architecture": "llama",
        "general.name": "noise",
        "llama.context_length": window,
        "llama.embedding_length": _WIDTH,
        "llama.block_count": 1,
        "llama.feed_forward_length": _HIDDEN,
        "llama.attention.head_count": _HEADS,
        "llama.attention.head_count_kv": _HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": _WIDTH // _HEADS,
        "llama.vocab_size": len(_TOKENS),
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": _TOKENS,
        "tokenizer.ggml.scores": [0.0] * len(_TOKENS),
        "tokenizer.ggml.token_type": [_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": _TEMPLATE,
    }
    square, up, down = (_WIDTH, _WIDTH), (_WIDTH, _HIDDEN), (_HIDDEN, _WIDTH)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (_WIDTH, len(_TOKENS)),
        "output_norm.weight": (_WIDTH,),
        "output.weight": (_WIDTH, len(_TOKENS)),
        "blk.0.attn_norm.weight": (_WIDTH,),
        "blk.0.ffn_norm.weight": (_WIDTH,),
        "blk.0.ffn_gate.weight": up,
        "blk.0.ffn_up.weight": up,
        "blk.0.ffn_down.weight": down,
        **{f"blk.0.attn_{name}.weight": square for name in ("q", "k", "v", "output")},
    }
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(shapes), len(facts))
    head += b"".join(_string(name) + _typed(value) for name, value in facts.items())
    described, data = _write_tensors(shapes)
    head += described
    path.write_bytes(head + bytes(-len(head) % _ALIGNMENT) + data)
    return path


def _write_tensors(shapes: Mapping[str, tuple[int, ...]]) -> tuple[bytes, bytes]:
    noise = random.Random(7)
    described, data = b"", b""
    for name, shape in shapes.items():
        size = 1
        for dimension in shape:
            size *= dimension
        described += _string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        described += struct.pack("<IQ", 0, len(data))  # 32-bit floats, at this place
        data += array("f", [noise.gauss(0, 0.3) for _ in range(size)]).tobytes()
        data += bytes(-len(data) % _ALIGNMENT)
    return described, data


def _typed(value: Value) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case str():
            return struct.pack("<I", 8) + _string(value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case [str(), *_]:
            return _array(8, [_string(str(item)) for item in value])
        case [float(), *_]:
            return _array(6, [struct.pack("<f", item) for item in value])
        case _:
            return _array(5, [struct.pack("<i", item) for item in value])


def _array(kind: int, items: Sequence[bytes]) -> bytes:
    return struct.pack("<IIQ", 9, kind, len(items)) + b"".join(items)


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()
