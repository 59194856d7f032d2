"""MedSAM2 as a module of 3D Slicer. It wires: what it does lies in MedSAM2SlicerLib, beside this file."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


class MedSAM2Slicer(ScriptedLoadableModule):
    """What Slicer lists."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("MedSAM2")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Markups", "Segmentations"]
        parent.contributors = ["The MedSAM2Slicer authors"]
        parent.helpText = _(
            "<p>Segments a structure of a 3D volume from one click or one box: the mask is followed slice by slice "
            "through the volume, in three orientations. A slice that you correct is kept and remembered.</p>"
            "<p>Everything runs on this computer. The included model is a demonstration, trained on synthetic anatomy; "
            "others can be downloaded. This is a research tool and not a medical device.</p>"
        )
        parent.acknowledgementText = _(
            "<p>After Zhu et al., Medical SAM 2: Segment medical images as video via Segment Anything Model 2 (arXiv "
            "2408.00874), and Ravi et al., SAM 2: Segment Anything in Images and Videos (arXiv 2408.00714).</p>"
        )
        slicer.app.connect("startupCompleted()", onStartupCompleted)


def onStartupCompleted():
    """Called once Slicer is up."""
    from MedSAM2SlicerLib.dicom_plugin import register_dicom_plugin
    from MedSAM2SlicerLib.sample_data import register_sample_data

    register_sample_data()
    register_dicom_plugin()


class MedSAM2SlicerWidget(ScriptedLoadableModuleWidget):
    """The panel in Slicer's life: made, entered, left, ended."""

    panel = None

    def setup(self):
        """Called when the module is opened for the first time."""
        super().setup()
        from MedSAM2SlicerLib.dicom_plugin import register_dicom_plugin
        from MedSAM2SlicerLib.panel.widget import MedSAM2Panel

        self.panel = MedSAM2Panel()
        register_dicom_plugin(self.panel.controller.settle)
        self.layout.addWidget(self.panel.widget)

    def enter(self):
        """Called each time the module is opened."""
        if self.panel is not None:
            self.panel.enter()

    def exit(self):
        """Called each time another module is opened."""
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self):
        """Called when Slicer ends, and before the module is reloaded."""
        panel, self.panel = self.panel, None
        if panel is not None:
            panel.close()

    def onReload(self):
        """Reloads this module with all that it and the engine consist of."""
        from MedSAM2SlicerLib.reloading import reload_packages

        self.cleanup()
        reload_packages()
        super().onReload()


class MedSAM2SlicerLogic(ScriptedLoadableModuleLogic):
    """Segmentation without a panel, for scripts; keeps the model from one call to the next."""

    _engines = None

    def segment(self, volumeNode, segmentationNode, segmentID, points=(), box=None, orientations=3, **options):
        """Segments one structure into a segment, as one undo step; returns a report when it is done.

        Points are voxels (i, j, k) inside the structure, a box is two opposite voxel corners on one slice, inclusive.
        All options, what is returned and what is raised: ``MedSAM2SlicerLib.session.logic.segment``.
        """
        from MedSAM2SlicerLib.session.logic import segment
        from MedSAM2SlicerLib.setup.engine_factory import EngineFactory

        self._engines = self._engines or EngineFactory()
        options.setdefault("engine_factory", self._engines)
        return segment(volumeNode, segmentationNode, segmentID, points, box, orientations, **options)


class MedSAM2SlicerTest(ScriptedLoadableModuleTest):
    """The self-test: a phantom made in memory, one box, a 3D mask; no network, and under a minute."""

    least_dice = 0.75

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Called by Slicer."""
        self.setUp()
        self.test_a_box_on_one_slice_gives_the_organ_in_3d()

    def test_a_box_on_one_slice_gives_the_organ_in_3d(self):
        from MedSAM2SlicerLib.self_test import dice_from_a_box
        from MedSAM2SlicerLib.setup.dependencies import dependency_state

        missing = ", ".join(package.name for package in dependency_state().missing)
        if missing:
            self.delayDisplay(_("Not tested, because these packages are not installed: {names}").format(names=missing))
            return
        self.delayDisplay(_("Segmenting a phantom from one box"))
        dice = dice_from_a_box(MedSAM2SlicerLogic().segment)
        self.assertGreaterEqual(dice, self.least_dice)
        self.delayDisplay(_("Passed: Dice {dice:.2f}").format(dice=dice))
