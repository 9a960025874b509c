"""Times what public Python libraries offer for tracking on the inputs of `cargo bench --bench tracking`, and prints both.

    BENCH_INPUTS=/some/folder RAYON_NUM_THREADS=1 cargo bench --bench tracking
    pip install numpy==1.24.4 scipy==1.10.1 scikit-image==0.21.0 opencv-python-headless==4.10.0.84
    python benches/python/tracking.py /some/folder target/criterion

Both sides run on one core. The features are those of the tracker: properties of regions, and every bounding box resized.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment
from skimage.measure import regionprops

from segmentation import criterion_ms, median_ms

cv2.setNumThreads(1)


def main(inputs, criterion):
    print(f"{'operation':34} {'size':>5} {'python ms':>10} {'rust ms':>9} {'ratio':>7}")
    for name, size, work in operations(inputs):
        python, rust = median_ms(work), criterion_ms(criterion, name, size)
        ratio = f"{python / rust:7.1f}" if rust else "      -"
        print(f"{name:34} {size:5} {python:10.2f} {rust or float('nan'):9.3f} {ratio}", flush=True)


def operations(folder):
    for size in (512, 1024):
        raw = np.load(folder / f"movie_{size}.npy")[0]
        labels = np.load(folder / f"cells_{size}.npy")[0]
        yield "features of a frame, resize 32", size, lambda: features(raw, labels)
    for size in (200, 500, 1000):
        i, j = np.indices((size, size))
        cost = ((i * 7919 + j * 104729 + i * j * 31 + (i ^ j) * 17) % 100003) / 100003.0
        yield "linear_sum_assignment", size, lambda: linear_sum_assignment(cost)


def features(raw, labels):
    found = []
    for region in regionprops(labels):
        top, left, bottom, right = region.bbox
        picture = cv2.resize(raw[top:bottom, left:right], (32, 32))
        found.append((region.centroid, region.area, region.perimeter, region.eccentricity, picture))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
