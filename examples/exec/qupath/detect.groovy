// Cells of a fluorescent image by QuPath's own detection. The argument is the folder for results.
def output = args[0]
setImageType('FLUORESCENCE')
createFullImageAnnotation(true)
runPlugin('qupath.imagej.detect.cells.WatershedCellDetection', '''{
  "detectionImage": "Channel 1", "requestedPixelSizeMicrons": 0.5, "backgroundRadiusMicrons": 8.0, "medianRadiusMicrons": 0.0,
  "sigmaMicrons": 1.5, "minAreaMicrons": 10.0, "maxAreaMicrons": 400.0, "threshold": 25.0, "watershedPostProcess": true,
  "cellExpansionMicrons": 0.0, "includeNuclei": true, "smoothBoundaries": true, "makeMeasurements": true}''')
saveDetectionMeasurements(buildFilePath(output, 'cells.tsv'))
new File(output, 'result.json').text = '{"fields": {"cells": ' + getDetectionObjects().size() + '}}'
