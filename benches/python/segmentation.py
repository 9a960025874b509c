"""Times the Python libraries on the inputs of `cargo bench --bench analysis` and prints both.

    BENCH_INPUTS=/some/folder RAYON_NUM_THREADS=1 cargo bench --bench analysis
    pip install numpy==1.24.4 scipy==1.10.1 scikit-image==0.21.0 opencv-python-headless==4.10.0.84
    python benches/python/segmentation.py /some/folder target/criterion

Cellpose needs newer libraries, in an environment of its own:

    pip install cellpose==4.2.1.1
    python benches/python/segmentation.py /some/folder target/criterion cellpose

So does StarDist (its compiled part is what is timed; no TensorFlow is needed):

    pip install stardist==0.9.1 "numpy<2" "opencv-python-headless<4.12"
    python benches/python/segmentation.py /some/folder target/criterion stardist

Both sides run on one core. Only public, permissively licensed libraries are called; where the
predecessor combined several calls, so does this script.
"""

import json
import os
import sys
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import cv2
import numpy as np

LIBRARY = sys.argv[3] if len(sys.argv) > 3 else ""
if LIBRARY == "cellpose":
    import torch
    from cellpose import dynamics, utils

    torch.set_num_threads(1)
elif LIBRARY == "stardist":
    from stardist.geometry import polygons_to_label
    from stardist.nms import non_maximum_suppression
else:
    from scipy import ndimage
    from skimage import exposure, feature, measure, morphology, segmentation, transform

cv2.setNumThreads(1)

SIZES = (256, 512, 1024, 2048)


def main(inputs, criterion):
    print(f"{'operation':34} {'size':>5} {'python ms':>10} {'rust ms':>9} {'ratio':>7} {'copies':>7}")
    for size in SIZES:
        if not (inputs / f"image_{size}.npy").exists():
            continue
        for name, work in {"cellpose": of_cellpose, "stardist": of_stardist, "": operations}[LIBRARY](inputs, size):
            python = median_ms(work)
            rust = criterion_ms(criterion, name, size)
            copy = criterion_ms(criterion, "copy of a plane", size)
            ratio = f"{python / rust:7.1f}" if rust else "      -"
            copies = f"{rust / copy:7.1f}" if rust and copy else "      -"
            print(f"{name:34} {size:5} {python:10.2f} {rust or float('nan'):9.3f} {ratio} {copies}", flush=True)


def median_ms(work):
    """Median of the runs that fit into about a second, at least one."""
    times = []
    while not times or (sum(times) < 1.0 and len(times) < 30):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * sorted(times)[len(times) // 2]


def criterion_ms(folder, name, size):
    path = folder / name.replace("/", "_") / str(size) / "new" / "estimates.json"
    if not path.exists():
        return None
    return json.loads(path.read_text())["median"]["point_estimate"] / 1e6


def operations(folder, size):
    image = np.load(folder / f"image_{size}.npy")
    nuclear = np.ascontiguousarray(image[..., :1])
    maxima = np.load(folder / f"maxima_{size}.npy")
    interior = np.load(folder / f"interior_{size}.npy")
    peaks = morphology.h_maxima(maxima, 0.1, morphology.disk(10))
    markers = measure.label(peaks)
    smooth = ndimage.gaussian_filter(interior, 1)
    labels = segmentation.watershed(-smooth, markers, mask=smooth > 0.2)

    yield "histogram_normalization", lambda: histogram_normalization(nuclear, None)
    yield "percentile_threshold", lambda: percentile_threshold(image)
    yield "mesmer_preprocess", lambda: histogram_normalization(percentile_threshold(image), 128)
    yield "normalize", lambda: (nuclear - nuclear.mean()) / (nuclear.std() + 1e-7)
    for name, factor in (("x1.3", 1.3), ("x0.7", 0.7)):
        to = int(size * factor)
        yield f"resize_image_1 {name}", lambda: cv2.resize(nuclear[0], (to, to))
        yield f"resize_image_2 {name}", lambda: transform.resize(
            image[0], (to, to), order=1, mode="constant", preserve_range=True, anti_aliasing=factor < 1
        )
        yield f"resize_labels_1 {name}", lambda: cv2.resize(
            labels.astype(np.int32), (to, to), interpolation=cv2.INTER_NEAREST
        )
    yield "tile and untile, 1 channel", lambda: tile_and_untile(nuclear, 256)
    yield "tile and untile, 2 channels", lambda: tile_and_untile(image, 256)
    yield "gaussian_filter sigma 1", lambda: ndimage.gaussian_filter(interior, 1)
    yield "gaussian_filter sigma 2", lambda: ndimage.gaussian_filter(interior, 2)
    yield "h_maxima radius 10", lambda: morphology.h_maxima(maxima, 0.1, morphology.disk(10))
    yield "h_maxima radius 2", lambda: morphology.h_maxima(maxima, 0.1, morphology.disk(2))
    yield "peak_local_max distance 10", lambda: feature.peak_local_max(
        maxima, min_distance=10, threshold_abs=0.1, exclude_border=False
    )
    yield "label", lambda: measure.label(peaks)
    yield "watershed", lambda: segmentation.watershed(-smooth, markers, mask=smooth > 0.01)
    yield "remove_small_objects 15", lambda: morphology.remove_small_objects(labels, 15)
    yield "fill_holes 15", lambda: fill_holes(labels, 15)
    yield "erode_edges 1", lambda: np.where(segmentation.find_boundaries(labels, mode="inner"), 0, labels)
    yield "relabel_sequential", lambda: segmentation.relabel_sequential(labels * 2)
    yield "deep_watershed nuclear", lambda: deep_watershed(
        interior, lambda: morphology.h_maxima(maxima, 0.1, morphology.disk(10)), 1, 0.01, 0
    )
    yield "deep_watershed peak_local_max", lambda: deep_watershed(
        interior, lambda: peak_mask(maxima), 1, 0.01, 0
    )
    yield "deep_watershed mesmer nuclear", lambda: deep_watershed(
        interior, lambda: morphology.h_maxima(maxima, 0.1, morphology.disk(2)), 2, 0.2, 15
    )
    yield "nuclear chain", lambda: nuclear_chain(nuclear, maxima, interior)
    yield "mesmer chain, both", lambda: mesmer_chain(image, maxima, interior)
    yield "copy of a plane", lambda: nuclear.copy()


def of_cellpose(folder, size):
    heads = np.load(folder / f"cellpose_{size}.npy")
    flows, cellprob = heads[:2], heads[2]
    inside = np.nonzero(cellprob > 0)
    scaled = flows * (cellprob > 0) / 5.0
    ends = dynamics.follow_flows(scaled, inside, 200).int()
    labels = dynamics.get_masks_torch(ends.clone(), inside, cellprob.shape)

    yield "cellpose follow_flows", lambda: dynamics.follow_flows(scaled, inside, 200)
    yield "cellpose get_masks", lambda: dynamics.get_masks_torch(ends.clone(), inside, cellprob.shape)
    yield "cellpose flow_error", lambda: dynamics.flow_error(labels, flows, torch.device("cpu"))
    yield "cellpose fill_holes", lambda: utils.fill_holes_and_remove_small_masks(labels.copy(), 15)
    yield "cellpose compute_masks", lambda: dynamics.resize_and_compute_masks(flows, cellprob)


def of_stardist(folder, size):
    prob, dist = np.load(folder / f"star_prob_{size}.npy"), np.load(folder / f"star_dist_{size}.npy")
    suppress = lambda: non_maximum_suppression(dist, prob, grid=(2, 2), b=2, prob_thresh=0.5, nms_thresh=0.4)
    points, scores, distances = suppress()
    paint = lambda points, scores, distances: polygons_to_label(distances, points, (size, size), prob=scores)

    yield "stardist suppression", suppress
    yield "stardist painting", lambda: paint(points, scores, distances)
    yield "stardist instances", lambda: paint(*suppress())


def nuclear_chain(nuclear, maxima, interior):
    prepared = histogram_normalization(nuclear, None)
    tops, inside = joined(maxima), joined(interior)
    return prepared, deep_watershed(inside, lambda: morphology.h_maxima(tops, 0.1, morphology.disk(10)), 1, 0.01, 0)


def mesmer_chain(image, maxima, interior):
    results = [histogram_normalization(percentile_threshold(image), 128)]
    for threshold in (0.075, 0.1):
        tops, inside = joined(maxima), joined(interior)
        find = lambda: morphology.h_maxima(tops, threshold, morphology.disk(2))
        results.append(deep_watershed(inside, find, 2, 0.2, 15))
    return results


def joined(head):
    return tile_and_untile(head[None, ..., None], 256)[..., 0]


def histogram_normalization(image, kernel):
    out = np.empty_like(image)
    for channel in range(image.shape[-1]):
        plane = exposure.rescale_intensity(image[0, ..., channel], out_range=(0.0, 1.0))
        out[0, ..., channel] = exposure.equalize_adapthist(plane, kernel_size=kernel)
    return out


def percentile_threshold(image):
    out = image.copy()
    for channel in range(image.shape[-1]):
        plane = out[0, ..., channel]
        limit = np.percentile(plane[plane != 0], 99.9)
        plane[plane > limit] = limit
    return out


def deep_watershed(interior, find_maxima, sigma, threshold, small):
    smooth = ndimage.gaussian_filter(interior, sigma)
    markers = measure.label(find_maxima())
    labels = segmentation.watershed(-smooth, markers, mask=smooth > threshold)
    if small:
        labels = fill_holes(morphology.remove_small_objects(labels, small), small)
    return segmentation.relabel_sequential(labels)[0]


def peak_mask(maxima):
    mask = np.zeros(maxima.shape, bool)
    found = feature.peak_local_max(maxima, min_distance=10, threshold_abs=0.1, exclude_border=False)
    mask[tuple(found.T)] = True
    return mask


def fill_holes(labels, size):
    out = labels.copy()
    for region in measure.regionprops(labels):
        if region.euler_number < 1:
            window = out[region.slice]
            window[morphology.remove_small_holes(window == region.label, size, connectivity=1)] = region.label
    return out


def tile_and_untile(image, tile):
    """Overlapping tiles of three quarters' stride out of a mirrored image, and blended back."""
    _, rows, columns, channels = image.shape
    stride = 2 * int(np.ceil(0.75 * tile / 2))
    counts = [max(int(np.ceil((length - tile) / stride + 1)), 1) for length in (rows, columns)]
    excess = [tile + stride * (count - 1) - length for count, length in zip(counts, (rows, columns))]
    pads = [(int(np.ceil(e / 2)), e // 2) for e in excess]
    padded = np.pad(image, ((0, 0), *pads, (0, 0)), "reflect")
    tiles = np.zeros((counts[0] * counts[1], tile, tile, channels), image.dtype)
    places = [(i * stride, j * stride) for i in range(counts[0]) for j in range(counts[1])]
    for index, (row, column) in enumerate(places):
        tiles[index] = padded[0, row : row + tile, column : column + tile]

    sums = np.zeros(padded.shape[1:])
    overlap = tile - stride
    for index, (row, column) in enumerate(places):
        down = window(tile, overlap * (row > 0), overlap * (row + tile < padded.shape[1]))
        across = window(tile, overlap * (column > 0), overlap * (column + tile < padded.shape[2]))
        weights = (down[:, None] * across[None])[..., None]
        sums[row : row + tile, column : column + tile] += tiles[index] * weights
    return sums[pads[0][0] : pads[0][0] + rows, pads[1][0] : pads[1][0] + columns].astype(image.dtype)


def window(length, left, right):
    weights = np.ones(length)
    for overlap, place in ((left, slice(0, left)), (right, slice(length - right, length))):
        if overlap:
            rise = (2 * np.arange(1, overlap + 1) - 1) / (2 * overlap)
            ramp = np.where(rise < 0.5, 2 * rise**2, 1 - 2 * (rise - 1) ** 2)
            weights[place] = ramp if place.start == 0 else ramp[::-1]
    return weights


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
