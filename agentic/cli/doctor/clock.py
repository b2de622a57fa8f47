"""Whether this machine's clock is right, by what others answered with anyway."""

from collections.abc import Mapping

from agentic.cli.doctor.findings import Finding

_TOLERATED_SECONDS = 60.0


def check_clock(offsets: Mapping[str, float]) -> Finding:
    """By the seconds by which the clocks of other hosts are ahead of ours."""
    if not offsets:
        return Finding("clock", "ok", "unknown: nobody answered whose clock could be asked")
    host = min(offsets, key=lambda each: abs(offsets[each]))
    seconds = offsets[host]
    if abs(seconds) <= _TOLERATED_SECONDS:
        return Finding("clock", "ok", f"within {_TOLERATED_SECONDS:g} s of that of {host}")
    direction = "behind" if seconds > 0 else "ahead of"
    return Finding(
        "clock",
        "warning",
        f"{abs(seconds):,.0f} s {direction} that of {host}: certificates may be refused, and "
        "messages get wrong times",
        "Let the network set it: `sudo timedatectl set-ntp true` (macOS: System Settings, Date).",
    )
