"""The stand-ins of ctk and qMRML widgets, on the real scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer

from SlicerHost import testing
from SlicerHost.start import Host
from Testing.panel.volumes import add_segmentation, add_volume, box_mask


@pytest.fixture
def selector(host: Host) -> Any:
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    combo.addEnabled = False
    combo.noneEnabled = True
    combo.setMRMLScene(slicer.mrmlScene)
    yield combo
    combo.setMRMLScene(None)


def test_a_node_selector_follows_the_scene(selector: Any) -> None:
    heard = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    assert selector.currentNode() is None
    volume = add_volume()
    assert selector.nodeCount() == 1
    assert selector.currentNode() is None
    selector.setCurrentNode(volume)
    assert selector.currentNodeID == volume.GetID()
    slicer.mrmlScene.RemoveNode(volume)
    assert selector.currentNode() is None
    assert heard == [volume, None]


def test_a_node_selector_without_none_takes_the_first_node(selector: Any) -> None:
    selector.noneEnabled = False
    volume = add_volume()
    assert selector.currentNode() is volume


def test_create_new_makes_a_node_and_selects_it(host: Host) -> None:
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLSegmentationNode"]
    combo.setMRMLScene(slicer.mrmlScene)
    node = combo.addNode()
    assert combo.currentNode() is node
    assert node.GetDisplayNode() is not None
    combo.setMRMLScene(None)


def test_a_segments_table_lists_renames_and_hides(host: Host) -> None:
    import qt

    node = add_segmentation(add_volume(), box_mask())
    table = slicer.qMRMLSegmentsTableView()
    table.setSegmentationNode(node)
    node.GetSegmentation().AddEmptySegment("other", "other")
    cells = table.tableWidget()
    assert cells.rowCount == 2
    table.setSelectedSegmentIDs(["other"])
    assert table.selectedSegmentIDs() == ["other"]
    cells.item(0, 1).setText("organ")
    assert node.GetSegmentation().GetSegment("box").GetName() == "organ"
    cells.item(0, 0).setCheckState(qt.Qt.CheckState.Unchecked)
    assert not node.GetDisplayNode().GetSegmentVisibility("box")
    assert table.selectedSegmentIDs() == ["other"]
    table.setSegmentationNode(None)


def test_a_segment_selector_names_the_segment_chosen(host: Host) -> None:
    node = add_segmentation(add_volume(), box_mask())
    node.GetSegmentation().AddEmptySegment("other", "other")
    widget, heard = slicer.qMRMLSegmentSelectorWidget(), []
    widget.setMRMLScene(slicer.mrmlScene)
    widget.connect("currentSegmentChanged(QString)", heard.append)
    widget.setCurrentNode(node)
    widget.setCurrentSegmentID("other")
    assert widget.currentSegmentID() == "other"
    assert heard == ["box", "other"]
    widget.setMRMLScene(None)


def test_a_range_keeps_its_order_and_its_handles_can_be_dragged(host: Host) -> None:
    import ctk
    import qt

    widget, heard = ctk.ctkRangeWidget(), []
    widget.decimals = 0
    widget.maximum = 29
    widget.connect("valuesChanged(double,double)", lambda low, high: heard.append((low, high)))
    widget.setValues(5, 20)
    widget.minimumValue = 25
    assert (widget.minimumValue, widget.maximumValue) == (20, 20)
    widget.setValues(5, 20)
    assert heard == [(5, 20), (20, 20), (5, 20)]
    widget.resize(400, 30)
    widget.show()
    slider = widget.slider()
    start = qt.QPointF(slider.handle_center(1))
    testing.drag(slider, start, start + qt.QPointF(1000, 0))
    assert (widget.minimumValue, widget.maximumValue) == (5, 29)
    widget.hide()


def test_a_collapsed_section_hides_what_is_in_it_until_it_is_clicked(host: Host) -> None:
    import ctk
    import qt

    section = ctk.ctkCollapsibleButton()
    section.text = "More"
    label = qt.QLabel("inside")
    qt.QVBoxLayout(section).addWidget(label)
    section.show()
    section.collapsed = True
    assert not label.visible
    testing.click(section, qt.QPointF(20, 8))
    assert label.visible
    assert not section.collapsed
    section.hide()


def test_a_path_field_and_a_slider_tell_of_their_values(host: Host) -> None:
    import ctk

    path, heard = ctk.ctkPathLineEdit(), []
    path.connect("currentPathChanged(QString)", heard.append)
    path.currentPath = "/tmp/models"
    slider = ctk.ctkSliderWidget()
    slider.maximum = 10
    slider.connect("valueChanged(double)", heard.append)
    slider.value = 2.5
    assert heard == ["/tmp/models", 2.5]


def test_an_array_written_into_a_segment_reads_back_voxel_for_voxel(host: Host) -> None:
    volume = add_volume()
    node = add_segmentation(volume, box_mask())
    np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, "box", volume), box_mask())
