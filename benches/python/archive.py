"""Times Python's zipfile on the inputs of `cargo bench --bench archive` and prints both.

    BENCH_INPUTS=/some/folder RAYON_NUM_THREADS=1 cargo bench --bench archive
    pip install numpy==1.24.4 scipy==1.10.1 scikit-image==0.21.0 opencv-python-headless==4.10.0.84
    python benches/python/archive.py /some/folder target/criterion

Both sides run on one core, in memory, and deflate at level 6. To collect results Python unpacks each and packs its files
anew, as zipfile can do no other; here they are taken over as they are packed.
"""

import io
import sys
import zipfile
from pathlib import Path

from segmentation import criterion_ms, median_ms

SIZES = (512, 1024, 2048)
RESULTS = 100


def main(inputs, criterion):
    print(f"{'operation':34} {'size':>5} {'python ms':>10} {'rust ms':>9} {'ratio':>7}")
    for size in SIZES:
        path = inputs / f"labels_{size}.tif"
        if not path.exists():
            continue
        for name, work in operations(path.read_bytes()):
            python, rust = median_ms(work), criterion_ms(criterion, name, size)
            ratio = f"{python / rust:7.1f}" if rust else "      -"
            print(f"{name:34} {size:5} {python:10.2f} {rust or float('nan'):9.3f} {ratio}", flush=True)


def operations(labels):
    results = [pack([(f"field {number}_batch_0_feature_0.tif", labels)]) for number in range(RESULTS)]
    yield "pack a result", lambda: pack([("field_batch_0_feature_0.tif", labels)])
    yield "collect 100 results", lambda: pack(entry for result in results for entry in unpack(result))


def pack(entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=6) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


def unpack(result):
    with zipfile.ZipFile(io.BytesIO(result)) as archive:
        for name in archive.namelist():
            yield name, archive.read(name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
