"""Whether the weights of an embedded model are here."""

from anyio import to_thread

from agentic.cli.doctor.findings import Finding
from agentic.config.models import Config, ModelConfig
from client.weights.catalogue import DEFAULT_WEIGHTS, find_weights
from client.weights.room import to_mb
from client.weights.store import Files, read_state


async def check_embedded(check: str, wanted: ModelConfig, config: Config) -> Finding:
    """By size and by what was noted when they were verified; a gigabyte is not read for this."""
    if wanted.path is not None:
        return Finding(check, "ok", f"{wanted.path} is there")
    weights = find_weights(wanted.model or DEFAULT_WEIGHTS)
    state = await to_thread.run_sync(read_state, Files(weights, config.cache_directory / "models"))
    fix = f"agentic models pull {weights.name}"
    match state.kind:
        case "ready":
            return Finding(check, "ok", f"{weights.name} is there ({to_mb(weights.size_bytes)})")
        case "unchecked":
            summary = f"{weights.name} is there, but was not verified yet: the first turn does that"
            return Finding(check, "warning", summary, f"`{fix}` verifies it now.")
        case "damaged":
            summary = f"{state.path} is not {weights.name} as it should be: {state.fault}"
            away = "Move it away."
            return Finding(check, "problem", summary, away if state.is_in_the_way else fix)
        case "absent" | "partial":
            missing = to_mb(weights.size_bytes - state.done_bytes)
            summary = f"{missing} of {weights.name} are not here yet: the first turn waits for them"
            return Finding(check, "warning", summary, fix)
