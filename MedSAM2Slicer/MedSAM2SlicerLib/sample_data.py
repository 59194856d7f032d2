"""Volumes to try the module on: a phantom that is made here without a network, and a CT of Slicer's collection."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from vtk import vtkMatrix4x4

from MedSAM2Lib.evaluation.phantom import Phantom, make_phantom
from MedSAM2Lib.volume.intensity import CT_PRESETS
from MedSAM2SlicerLib.resources import resources_dir

CATEGORY = "MedSAM2"
PHANTOM_NAME = "MedSAM2Phantom"
CT_NAME = "MedSAM2CTLiver"
_CT_SHA256 = "e16eae0ae6fefa858c5c11e58f0f1bb81834d81b7102e021571056324ef6f37e"
_NO_DOWNLOAD = "made-on-this-computer:phantom"


def register_sample_data() -> None:
    """Adds both volumes to Slicer's module Sample Data, where there is one. Nothing is downloaded before a click.

    The CT is liver_100 of the Medical Segmentation Decathlon (CC-BY-SA 4.0), from Slicer's own collection, which has a
    thumbnail of it.
    """
    try:
        from SampleData import SampleDataLogic  # type: ignore[import-not-found]
    except ImportError:
        return
    SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=PHANTOM_NAME,
        thumbnailFileName=str(resources_dir() / "Icons" / f"{PHANTOM_NAME}.png"),
        uris=_NO_DOWNLOAD,
        fileNames=f"{PHANTOM_NAME}.nrrd",
        nodeNames=PHANTOM_NAME,
        customDownloader=lambda _source: [show(add_phantom(make_phantom()))],
    )
    SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=CT_NAME,
        uris=f"{slicer.util.TESTING_DATA_URL}SHA256/{_CT_SHA256}",
        fileNames="CTLiver.nrrd",
        nodeNames="CTLiver",
        checksums=f"SHA256:{_CT_SHA256}",
    )


def add_phantom(phantom: Phantom) -> Any:
    """The phantom's volume as a scalar volume node of the scene, shown in a soft tissue window."""
    volume = phantom.volume
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", PHANTOM_NAME)
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.ijk_to_world
    ijk_to_ras = vtkMatrix4x4()
    ijk_to_ras.DeepCopy(matrix.ravel())
    node.SetIJKToRASMatrix(ijk_to_ras)
    slicer.util.updateVolumeFromArray(node, volume.array)
    node.CreateDefaultDisplayNodes()
    window = CT_PRESETS["soft-tissue"]
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevelMinMax(window.low, window.high)
    return node


def show(node: Any) -> Any:
    """Shows a volume in the slice views, where there are any; returns it."""
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node
