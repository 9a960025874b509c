#!/bin/sh
# Pixel classification with a trained project: ILASTIK_PROJECT names it, and has to stand in EXEC_ENV.
set -eu

# ilastik takes no values with spaces in them, and names of images may have some.
name=${RC_INPUT##*/}
image="$RC_TMP/image.${name##*.}"
ln -s "$RC_INPUT" "$image"

# It would take all cores and all memory of the node.
export LAZYFLOW_THREADS="$RC_CPUS"
[ -z "${RC_MEMORY:-}" ] || export LAZYFLOW_TOTAL_RAM_MB=$((RC_MEMORY * 8 / 10 / 1048576))

run_ilastik.sh --headless --readonly "--project=$ILASTIK_PROJECT" "--export_source=Simple Segmentation" --output_format=tif \
  "--output_filename_format=$RC_OUTPUT/segmentation.tif" "$image"
