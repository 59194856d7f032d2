"""How long the event loop is ever held up while the engine works, in the real panel on SlicerHost.

    QT_QPA_PLATFORM=offscreen python -m Testing.benchmarks.event_loop [--model hiera-tiny-512] [--shape 64,512,512]

MODEL is hiera-tiny-512 (a hiera-tiny checkpoint with random weights, at 512), embedded, or stand-in, which needs no
time of its own and so shows the scene's side alone. The loop holds Python's lock while it idles, as Slicer's does. A
timer of 5 ms ticks in it; a gap is the time between two ticks. Drawing the views is told apart: SlicerHost draws them
without a graphics card. The first row shows what the machine does to a loop in which nothing happens. At the end the
same propagation runs with no loop at all: the ratio is the engine's speed in the loop to that.

Targets: no gap over 100 ms while slices are encoded and propagated, and a ratio of 0.8. Writing into the segment is one
turn of the loop, for which 500 ms are allowed in 512 x 512 x 300 voxels.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from MedSAM2Lib.types import SliceKey
from SlicerHost.start import Host, open_host
from Testing.benchmarks.peak_memory import write_hiera_tiny

MODULE = Path(__file__).resolve().parents[2] / "MedSAM2Slicer"
TICK_MS = 5
TARGET_MS = 100.0


@dataclass
class Gaps:
    """Milliseconds between ticks, and how much of each went into drawing views."""

    gaps: list[float] = field(default_factory=list)
    drawn: list[float] = field(default_factory=list)

    def row(self, name: str) -> str:
        """Name, seconds; 99th percentile and longest, with drawing and without; how many of the latter are too long."""
        bare = np.subtract(self.gaps, self.drawn)
        over = int((bare > TARGET_MS).sum())
        return (
            f"{name:<34}{sum(self.gaps) / 1000:9.1f}{np.percentile(self.gaps, 99):9.1f}{max(self.gaps):9.1f}"
            f"{np.percentile(bare, 99):9.1f}{bare.max():9.1f}{over:6d}"
        )


class Loop:
    """The host's event loop, run until something is so, with a timer that ticks in it."""

    def __init__(self, host: Host) -> None:
        import qt

        self._host = host
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.connect("timeout()", self._tick)
        self._last = self._drawing = self._drawn = 0.0
        self._gaps = Gaps()
        self._done: Callable[[], bool] = lambda: True
        for view in host.app.layoutManager().views():
            view.renderWindow().AddObserver("StartEvent", self._on_start)
            view.renderWindow().AddObserver("EndEvent", self._on_end)

    def run(self, start: Callable[[], object], done: Callable[[], bool]) -> Gaps:
        """Calls ``start`` in the loop and runs it until ``done``."""
        import qt

        from SlicerHost.application import hold_the_lock_in_the_event_loop

        self._gaps, self._done, self._drawn = Gaps(), done, 0.0
        self._last = time.perf_counter()
        self._timer.start()
        qt.QTimer.singleShot(0, start)
        hold_the_lock_in_the_event_loop()
        self._timer.stop()
        return self._gaps

    def _tick(self) -> None:
        now = time.perf_counter()
        self._gaps.gaps.append(1000 * (now - self._last))
        self._gaps.drawn.append(1000 * self._drawn)
        self._last, self._drawn = now, 0.0
        if len(self._gaps.gaps) > 2 and self._done():
            self._host.app.quit()

    def _on_start(self, *_: Any) -> None:
        self._drawing = time.perf_counter()

    def _on_end(self, *_: Any) -> None:
        self._drawn += time.perf_counter() - self._drawing


def engine_factory(model: str) -> Any:
    """Engines of a model by its name here."""
    if model == "stand-in":
        from MedSAM2SlicerLib.session.ports import ReadyEngine

        from Testing.scene.session_ground import GrowingEngine

        engine = GrowingEngine()
        return lambda choice: ReadyEngine(engine, "stand-in", "0" * 64, "cpu", {})
    from MedSAM2SlicerLib.setup.engine_factory import EngineFactory, EngineSettings

    size = 512 if model == "hiera-tiny-512" else None
    return EngineFactory(lambda: EngineSettings(device="cpu", precision="fp32", image_size=size))


def open_panel(host: Host, model: str) -> Any:
    """The module's panel, entered."""
    module = host.load_module(MODULE, enter=False)
    from MedSAM2SlicerLib.panel import widget

    widget.default_engine_factory = lambda settings: engine_factory(model)
    host.window.moduleSelector().selectModule(module.name)
    return module.widgetRepresentation().self().panel


def show_ball(shape: tuple[int, ...]) -> Any:
    """A volume with a ball of half its size, shown in all views."""
    import slicer

    from Testing.engine.growing_network import BRIGHT
    from Testing.engine.phantoms import ellipsoid

    middle = tuple(size / 2 for size in shape)
    mask = ellipsoid(shape, middle, tuple(size / 4 for size in shape))
    noise = np.random.default_rng(0).integers(0, BRIGHT // 5, shape)
    array = np.where(mask, BRIGHT, 0) + noise
    volume = slicer.util.addVolumeFromArray(array.astype(np.int16), ijkToRAS=np.diag([-0.8, -0.8, 2.5, 1.0]), name="CT")
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(float(BRIGHT), BRIGHT / 2)
    slicer.app.coreIOManager().show(volume)
    return volume


def in_turns(panel: Any, run: Callable[[Callable[[], object]], object], rounds: int) -> tuple[float, float]:
    """Seconds of a propagation by an engine begun anew: under ``run``, and while the main thread only waits for it.

    Taken in turns, so that both meet the same disturbances; medians.
    """
    controller, taken = panel.controller, ([], [])
    ways = (run, lambda start: (start(), controller._core.stepper.drain(3600.0)))
    for turn in range(2 * rounds):
        controller.undo()
        controller.set_window(0.0, 120.0 + turn)
        controller._core.stepper.drain(60.0)
        begun = time.perf_counter()
        ways[turn % 2](controller.propagate)
        taken[turn % 2].append(time.perf_counter() - begun)
    return float(np.median(taken[0])), float(np.median(taken[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("hiera-tiny-512", "embedded", "stand-in"), default="hiera-tiny-512")
    parser.add_argument("--shape", default="64,512,512", help="k,j,i")
    parser.add_argument("--slices", type=int, default=12, help="how many slices are propagated over")
    parser.add_argument("--orientations", choices=("1", "3"), default="1")
    parser.add_argument("--rounds", type=int, default=2, help="propagations with and without a loop, for the ratio")
    options = parser.parse_args()
    shape = tuple(int(size) for size in options.shape.split(","))
    with tempfile.TemporaryDirectory() as folder:
        measure(options, shape, Path(folder))


def measure(options: argparse.Namespace, shape: tuple[int, ...], folder: Path) -> None:
    host = open_host(testing=True)
    host.window.resize(1100, 760)
    host.window.show()
    panel = open_panel(host, options.model)
    if options.model == "hiera-tiny-512":
        write_hiera_tiny(folder / "hiera_tiny.pt")
        panel.controller.set_model(str(folder / "hiera_tiny.pt"))
    loop, controller = Loop(host), panel.controller
    show_ball(shape)
    host.app.processEvents()
    k, j, i = (size // 2 for size in shape)
    first, last = max(0, k - options.slices // 2), min(shape[0] - 1, k + (options.slices - 1) // 2)
    print(f"{options.model}, {shape[2]} x {shape[1]} x {shape[0]} voxels; milliseconds between ticks of {TICK_MS} ms")
    print(f"{'':<52}{'all':>9}{'without drawing':>18}")
    print(f"{'':<34}{'seconds':>9}{'99 %':>9}{'longest':>9}{'99 %':>9}{'longest':>9}{'over':>6}")

    def rest() -> bool:
        return not controller.busy

    def gathering() -> bool:
        return bool(controller._core.stepper.current == "gather")

    def show(name: str, start: Callable[[], object], done: Callable[[], bool] = rest) -> None:
        print(loop.run(start, done).row(name), flush=True)

    until = time.perf_counter() + 5
    show("nothing happens", lambda: None, lambda: time.perf_counter() > until)
    show("segment opened", panel.selection.ensure_segment)
    show("click: model loaded, slice encoded", lambda: controller.add_point((i, j, k), "k"))
    show("click: another point", lambda: controller.add_point((i + 5, j, k), "k"))
    controller.set_orientations(options.orientations)
    controller.set_range(first, last)
    show("propagated", controller.propagate, lambda: controller.state.phase != "propagating" or gathering())
    show("fused and committed", lambda: None)
    show("undone", controller.undo)
    show("done again", controller.redo)
    show("a slice drawn by hand", lambda: controller.draw_slice(SliceKey("k", k + 1), np.zeros(shape[1:], dtype=bool)))
    controller.undo()
    loop.run(lambda: None, rest)
    in_loop, free = in_turns(panel, lambda start: loop.run(start, rest), options.rounds)
    print(f"{options.slices} slices: {in_loop:.1f} s in the loop, {free:.1f} s without: ratio {free / in_loop:.2f}")


if __name__ == "__main__":
    main()
