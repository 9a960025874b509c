// Nuclei by Otsu's threshold and the particle analyzer, for a process for each job. The argument is the image and the folder for
// results with a | between them: names of images may have spaces and commas.
argument = getArgument();
at = lastIndexOf(argument, "|");
input = substring(argument, 0, at);
output = substring(argument, at + 1);

setBatchMode(true);
open(input);
run("8-bit");
title = getTitle();
setAutoThreshold("Otsu dark");
run("Convert to Mask");
print("progress 50%"); // with EXEC_PROGRESS="progress (\d+)%"
run("Set Measurements...", "area centroid shape redirect=None decimal=3");
run("Analyze Particles...", "size=20-Infinity show=[Count Masks] display clear");
saveAs("Results", output + "/cells.csv");
selectWindow("Count Masks of " + title);
saveAs("Tiff", output + "/labels.tif");
close("*");
