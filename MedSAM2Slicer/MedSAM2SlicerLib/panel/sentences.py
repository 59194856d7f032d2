"""What the panel says, in words that can be translated."""

from __future__ import annotations

from collections.abc import Sequence

from slicer.i18n import tr as _

from MedSAM2Lib.types import Axis, SliceKey, Suggestion
from MedSAM2SlicerLib.session.state import Estimate, Message, Progress, SessionError, SessionState


def said(message: Message | SessionError) -> str:
    """A sentence of the session, translated; its fields are filled in afterwards."""
    return str(_(message.template)).format(**message.fields)


def status(state: SessionState, has_volume: bool) -> str:
    """The one line that says where things stand and what to do next."""
    if state.phase == "propagating":
        return _("Propagating. You may scroll and look; Esc stops and keeps what is done.")
    if state.phase == "encoding":
        return _("Looking at the slice.")
    if state.message is not None:
        return said(state.message)
    if state.phase == "idle":
        return _("Click into the object on any slice.") if has_volume else _("Load or choose a volume.")
    if state.previewed:
        return _("Enter grows it through the volume, Shift+Enter accepts this slice only.")
    if not state.keyframes:
        return _("Click into the object on any slice, or drag a box around it.")
    return _("Ready.")


def estimates(found: Sequence[Estimate]) -> str:
    """What Enter will cost: of the whole axis, and of the range."""
    return "; ".join(_estimate(one) for one in found) + "." if found else ""


def _estimate(one: Estimate) -> str:
    where = (
        _("{count} slices").format(count=one.slices)
        if one.first == 0
        else _("slices {first} to {last}").format(first=one.first, last=one.last)
    )
    if one.seconds is None:
        return _("{slices}: time not known yet").format(slices=where)
    return _("{slices}: about {time}").format(slices=where, time=duration(one.seconds))


def duration(seconds: float) -> str:
    """A time for people: no more exact than an estimate is."""
    if seconds < 1.0:
        return _("1 s")
    if seconds < 90.0:
        return _("{count} s").format(count=round(seconds))
    if seconds < 5400.0:
        return _("{count} min").format(count=round(seconds / 60))
    return _("{count:.1f} h").format(count=seconds / 3600)


def progress(one: Progress) -> str:
    """Slices done, their pace, and what is left."""
    text = _("{done} of {total} slices").format(done=one.done, total=one.total)
    if one.slices_per_second > 0:
        text += _(", {pace:.1f} per second").format(pace=one.slices_per_second)
    if one.seconds_left > 0:
        text += _(", {time} left").format(time=duration(one.seconds_left))
    return text


def window(limits: tuple[float, float] | None) -> str:
    """The grey values that the engine sees as black and white."""
    if limits is None:
        return _("taken at the first prompt")
    return _("{low:g} to {high:g}").format(low=round(limits[0], 2), high=round(limits[1], 2))


def slice_name(key: SliceKey) -> str:
    """A slice by the axis of the voxel grid and its index."""
    return _("slice {index} along {axis}").format(index=key.index, axis=axis_name(key.axis))


def axis_name(axis: Axis) -> str:
    """The axis as Slicer writes it: I, J or K of the voxel grid."""
    return axis.upper()


def suggestion(one: Suggestion) -> str:
    """Where the next prompt helps most, and why."""
    return _("A prompt on {slice} helps most: {reason}.").format(slice=slice_name(one.slice), reason=one.reason)
