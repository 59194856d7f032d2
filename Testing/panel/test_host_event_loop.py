"""The event loop holds Python's lock while it idles, as Slicer's does: a worker that is polled starves, else not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# A worker counts for one second while the loop does nothing, is polled by a timer, or waits for the worker's event.
MEASURE = """
import json, sys, threading, time
from SlicerHost.start import open_host
host = open_host(with_window=False)
import qt

def count_for_one_second(slot, interval):
    counted, stop, done = [0], threading.Event(), threading.Event()

    def work():
        while not stop.is_set():
            counted[0] += 1

    worker = threading.Thread(target=work, daemon=True)
    timer = qt.QTimer()
    timer.interval = interval
    timer.connect("timeout()", lambda: slot(done))
    end = qt.QTimer()
    end.singleShot = True
    end.interval = 1000
    end.connect("timeout()", host.app.quit)
    worker.start()
    counted[0] = 0
    timer.start()
    end.start()
    host.app.run()
    result = counted[0]
    stop.set()
    worker.join()
    return result

print(json.dumps({
    "polled": count_for_one_second(lambda done: None, 250),
    "waited": count_for_one_second(lambda done: done.wait(0.015), 0),
}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the loop holds the lock on Linux only")
def test_a_polled_worker_starves_and_waiting_15_ms_on_its_event_feeds_it() -> None:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    counted = json.loads(done.stdout.strip().splitlines()[-1])
    assert counted["waited"] > 2 * counted["polled"], counted
