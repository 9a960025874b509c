#!/bin/sh
# A mask of what is brighter than a threshold, and how much of the image that is, with ImageMagick. The job's field `threshold`
# (per cent, 50 if there is none) comes as a variable, as every field does; quotes keep whatever is in it one word.
set -eu

# [0]: the first image of a file with several. 65 means that the data is wrong: the job fails as `invalid_input`, once.
convert "${RC_INPUT}[0]" -alpha off -colorspace Gray "$RC_TMP/gray.tif" || exit 65

echo "::progress $RC_ID 50 thresholding"
convert "$RC_TMP/gray.tif" -threshold "${RC_FIELD_THRESHOLD:-50}%" "$RC_OUTPUT/mask.tif"
covered=$(convert "$RC_OUTPUT/mask.tif" -format '%[fx:100*mean]' info:)

printf 'covered\n%s\n' "$covered" >"$RC_OUTPUT/covered.csv"
printf '{"fields": {"covered": %s}}' "$covered" >"$RC_OUTPUT/result.json"
