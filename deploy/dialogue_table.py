"""A call of a file as a person reads it: what it amounts to, who did what, and its overlaps in order."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deploy.dialogue_of_file import DialogueOfFile, FloorTransferOffsets
from deploy.plain import plain


def table(call: DialogueOfFile) -> Group:
    """The call in three parts."""
    parts: list[RenderableType] = [plain(call.call_id), _sums(call), _participants(call), _overlaps(call)]
    if call.silences:
        parts.append(_silences(call))
    if call.faults:
        parts.append(_faults(call))
    return Group(*parts)


def _sums(call: DialogueOfFile) -> Text:
    lines = [
        f"{call.turns} turns that speak, {call.rejected} rejected; rules {call.rules}",
        f"{call.duration_s:.3f} s: speech {call.speech_s:.3f}, silence {call.silence_s:.3f}",
        f"overlap {call.overlap_s:.3f} s, {100 * call.overlap_ratio:.1f} % of speech",
        f"floor transfers: {call.fto.n}, {call.fto.overlapped_n} of them overlapped{_offsets(call.fto)}",
        f"pauses: {call.pauses.n}"
        + ("" if call.pauses.p50_ms is None else f", half under {call.pauses.p50_ms:.0f} ms"),
    ]
    return Text("\n".join(lines))


def _offsets(fto: FloorTransferOffsets) -> str:
    found = [(name, getattr(fto, f"{name}_ms")) for name in ("p5", "p25", "p50", "p75", "p95")]
    offsets = ", ".join(f"{name} {value:.0f}" for name, value in found if value is not None)
    return f"\noffsets in ms: {offsets}" if offsets else ""


def _participants(call: DialogueOfFile) -> Table:
    found = Table()
    found.add_column("participant")
    for name in ("speech (s)", "share", "interrupts", "is interrupted", "backchannels"):
        found.add_column(name, justify="right", no_wrap=True)
    for said in call.participants:
        counts = (said.interruptions_made, said.interruptions_received, said.backchannels)
        found.add_row(
            plain(said.participant), f"{said.speech_s:.3f}", f"{said.talk_ratio:.3f}", *(str(count) for count in counts)
        )
    return found


def _overlaps(call: DialogueOfFile) -> Table:
    found = Table()
    found.add_column("start (s)", justify="right", no_wrap=True)
    found.add_column("ms", justify="right", no_wrap=True)
    found.add_column("overlap")
    for name in ("class", "p", "kind", "floor"):
        found.add_column(name, no_wrap=True)
    for event in call.overlaps:
        found.add_row(
            f"{event.start_s:.3f}",
            str(event.duration_ms),
            plain(f"{event.overlapper} over {event.overlapped}"),
            f"{event.class_}, {event.competition}" if event.competition else event.class_,
            f"{event.confidence:.2f}" if isinstance(event.confidence, float) else "",
            event.kind,
            "taken" if event.floor_taken else "",
        )
    return found


def _silences(call: DialogueOfFile) -> Table:
    found = Table()
    found.add_column("silent from (s)", justify="right", no_wrap=True)
    found.add_column("ms", justify="right", no_wrap=True)
    for name in ("before", "after", "who should speak"):
        found.add_column(name)
    for one in call.silences:
        found.add_row(f"{one.at_s:.3f}", str(one.duration_ms), plain(one.before), plain(one.after), one.due)
    return found


def _faults(call: DialogueOfFile) -> Table:
    found = Table()
    found.add_column("at (s)", justify="right", no_wrap=True)
    found.add_column("ms", justify="right", no_wrap=True)
    found.add_column("fault")
    found.add_column("participant")
    for fault in call.faults:
        found.add_row(f"{fault.at_s:.3f}", str(fault.duration_ms), fault.kind, plain(fault.participant))
    return found
