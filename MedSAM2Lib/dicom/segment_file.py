"""Segments described in a JSON file: a list of {number, label, category, type, ...}."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from MedSAM2Lib.dicom.refusals import SegExportError
from MedSAM2Lib.dicom.segment_info import UNKNOWN_VERSION, AlgorithmInfo, Code, SegmentInfo, is_one_text
from MedSAM2Lib.volume.io.outputs import replacing

_CODES = {
    "category": "category",
    "type": "type",
    "modifier": "type_modifier",
    "region": "region",
    "region_modifier": "region_modifier",
}
_KEYS = {
    *("number", "label", "rgb", "algorithm_type", "algorithm_name", "algorithm_version"),
    *("tracking_id", "tracking_uid", *_CODES),
}


def read_segment_file(path: Path | str) -> list[SegmentInfo]:
    """The segments of a file.

    It holds a list of ``{number, label, category, type, modifier?, region?, region_modifier?, rgb?, algorithm_type?,
    algorithm_name?, algorithm_version?, tracking_id?, tracking_uid?}``, each code ``{scheme, value, meaning}``, rgb
    three numbers from 0 to 255. The algorithm is this package where none is named.

    Raises SegExportError ``E_SEGMENTS_FILE`` for a file that is no such list, ``E_TERMINOLOGY`` for a bad code,
    ``E_EMPTY_LABEL`` for a segment without a label.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(content, ensure_ascii=False).encode()  # half a letter, such as "\\ud800", fits into no file
    except OSError as error:
        raise _bad(path, f"it cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise _bad(path, f"it is no JSON ({error})") from error
    if not isinstance(content, list) or not content or not all(isinstance(one, dict) for one in content):
        raise _bad(path, "it must be a list of objects in braces")
    return [segment_from_plain(one, path) for one in content]


def write_segment_file(path: Path | str, segments: Sequence[SegmentInfo]) -> None:
    """Writes what ``read_segment_file`` reads, so that an export of the same segments keeps codes and identities."""
    with replacing(Path(path)) as partial:
        plain = [_plain(place, one) for place, one in enumerate(segments, start=1)]
        partial.write_text(json.dumps(plain, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain(place: int, segment: SegmentInfo) -> dict[str, Any]:
    codes = {key: getattr(segment, field) for key, field in _CODES.items()}
    plain = {
        "number": segment.number or place,
        "label": segment.label,
        **{key: code and asdict(code) for key, code in codes.items()},
        "rgb": segment.rgb,
        "algorithm_type": segment.algorithm_type,
        "algorithm_name": segment.algorithm and segment.algorithm.name,
        "algorithm_version": segment.algorithm and segment.algorithm.version,
        "tracking_id": segment.tracking_id,
        "tracking_uid": segment.tracking_uid,
    }
    return {key: value for key, value in plain.items() if value is not None}


def segment_from_plain(plain: Mapping[str, Any], path: Path) -> SegmentInfo:
    """One segment of the list; ``path`` is named in errors."""
    strange = sorted(set(plain) - _KEYS)
    if strange:
        raise _bad(path, f"'{strange[0]}' is unknown; known are {', '.join(sorted(_KEYS))}")
    label = plain.get("label") or ""
    number = plain.get("number")
    if not isinstance(label, str):
        raise _bad(path, f"the label {label!r} is no text")
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise _bad(path, f"segment '{label}' needs a number from 1, the one of its voxels in the mask")
    codes: dict[str, Any] = {field: _code(plain.get(key), key, label) for key, field in _CODES.items()}
    return SegmentInfo(
        label=label,
        rgb=_rgb(plain.get("rgb"), path, label),
        algorithm_type=plain.get("algorithm_type") or "SEMIAUTOMATIC",
        tracking_id=plain.get("tracking_id") or None,
        tracking_uid=plain.get("tracking_uid") or None,
        number=number,
        algorithm=_algorithm(plain, path, label),
        **codes,
    )


def _code(plain: Any, key: str, label: str) -> Code | None:
    if plain is None:
        return None
    parts = [plain.get(name) for name in ("value", "scheme", "meaning")] if isinstance(plain, dict) else [None]
    if not all(isinstance(part, str) and part.strip() for part in parts):
        raise SegExportError(
            "E_TERMINOLOGY",
            "The {key} of segment '{label}' must be {{scheme, value, meaning}}, three texts: for example "
            '{{"scheme": "SCT", "value": "10200004", "meaning": "Liver"}}.',
            key=key,
            label=label,
        )
    return Code(*parts)


def _algorithm(plain: Mapping[str, Any], path: Path, label: str) -> AlgorithmInfo | None:
    name, version = plain.get("algorithm_name") or "", plain.get("algorithm_version") or ""
    if not (is_one_text(name) and is_one_text(version)):
        raise _bad(path, f"the algorithm of segment '{label}' needs a name and a version of at most 64 bytes")
    return AlgorithmInfo(name, version or UNKNOWN_VERSION) if name else None


def _rgb(plain: Any, path: Path, label: str) -> tuple[int, int, int] | None:
    if plain is None:
        return None
    whole = (
        isinstance(plain, list) and len(plain) == 3 and all(type(part) is int and 0 <= part <= 255 for part in plain)
    )
    if not whole:
        raise _bad(path, f"rgb of segment '{label}' must be three whole numbers from 0 to 255")
    red, green, blue = plain
    return red, green, blue


def _bad(path: Path, fault: str) -> SegExportError:
    return SegExportError(
        "E_SEGMENTS_FILE",
        "{path} describes no segments: {fault}. See medsam2 dicom-seg export --help for an example.",
        path=path,
        fault=fault,
    )
