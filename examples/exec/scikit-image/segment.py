#!/usr/bin/env python3
"""Nuclei by Otsu's threshold: labels.tif with a number for each, cells.csv with a row for each.

Reads a job per line of standard input, once or kept (EXEC_MODE=persistent): the imports below, most of the time of a small
image, are then paid for once.
"""
import csv
import json
import os
import sys

import numpy as np
import tifffile
from skimage.color import rgb2gray, rgba2rgb
from skimage.filters import gaussian, threshold_otsu
from skimage.io import imread
from skimage.measure import label, regionprops_table
from skimage.morphology import remove_small_objects
from skimage.util import img_as_float

MEASURES = ("label", "area", "centroid", "bbox", "eccentricity", "mean_intensity")


def read(path):
    """The image as one plane of numbers from 0 to 1."""
    image = imread(path)
    if image.ndim == 3 and image.shape[-1] in (3, 4):
        return rgb2gray(rgba2rgb(image) if image.shape[-1] == 4 else image)
    if image.ndim != 2:
        raise ValueError(f"an image of one plane is needed, this one has the shape {image.shape}")
    return img_as_float(image)


def work(job):
    def progress(percent, text):
        print(f"::progress {job['id']} {percent} {text}", flush=True)

    smallest = int(job["fields"].get("smallest", 20))
    try:
        image = read(job["inputs"][0]["path"])
    except (OSError, tifffile.TiffFileError) as error:
        print(error)  # the log has the details
        raise ValueError(f"{job['inputs'][0]['name']} is no image that can be read") from error
    if image.min() == image.max():
        raise ValueError("the image is all of one brightness")
    progress(30, "segmenting")
    smooth = gaussian(image, 1)
    labels = label(remove_small_objects(smooth > threshold_otsu(smooth), max_size=smallest - 1))
    progress(70, "measuring")
    table = regionprops_table(labels, image, properties=MEASURES)
    tifffile.imwrite(os.path.join(job["output"], "labels.tif"), labels.astype(np.min_scalar_type(max(labels.max(), 256))), compression="zlib")
    with open(os.path.join(job["output"], "cells.csv"), "w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(table)
        rows.writerows(zip(*table.values()))
    with open(os.path.join(job["output"], "result.json"), "w") as out:
        json.dump({"fields": {"cells": int(labels.max())}}, out)


if __name__ == "__main__":
    print("::ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            work(job)
            print(f"::done {job['id']}", flush=True)
        except ValueError as error:
            print(f"::fail {job['id']} invalid_input {' '.join(str(error).split())}", flush=True)
