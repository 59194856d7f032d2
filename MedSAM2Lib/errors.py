"""What can go wrong, typed: a code, the fields, and one sentence that says what to do.

The command prints the sentence; a panel may translate the template and fill in the same fields.
"""

from __future__ import annotations

from functools import partial


class MedSAM2Error(Exception):
    """An error that a user can act on.

    Args:
        code: a stable name such as ``E_POINT_OUTSIDE``, for programs and tests.
        template: one English sentence with ``str.format`` fields; it says what is wrong and what to do.
        fields: values of the template's fields, kept in ``fields``.
    """

    def __init__(self, code: str, template: str, **fields: object) -> None:
        self.code = code
        self.template = template
        self.fields = fields
        super().__init__(template.format(**fields))

    def __reduce__(self) -> tuple[partial[MedSAM2Error], tuple[()]]:
        """By its parts, so that it comes whole out of another process."""
        return partial(type(self), self.code, self.template, **self.fields), ()


class InputError(MedSAM2Error):
    """Options, prompts or files that a user gave and must change."""


class VolumeError(InputError):
    """An image that cannot be read, or that is not a regular three-dimensional grey volume."""


class PromptError(InputError):
    """A prompt that does not fit the volume, the slice or the other prompts."""


class ModelError(MedSAM2Error):
    """A checkpoint that is missing, broken, refused, or of an architecture that is not SAM 2."""


class DownloadError(ModelError):
    """A checkpoint that could not be fetched; nothing half-fetched is ever used."""


class DeviceError(MedSAM2Error):
    """A device that is not there, or that has no memory left."""


class OutputError(MedSAM2Error):
    """A result that could not be written: no space, no permission, no such folder."""
