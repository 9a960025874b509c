// The same as measure.ijm for a process that is kept: a job per line of standard input.
import groovy.json.JsonSlurper
import ij.IJ
import ij.measure.Measurements
import ij.measure.ResultsTable
import ij.plugin.filter.ParticleAnalyzer
import ij.process.ImageConverter

// Fiji's own print may be buffered; lines must arrive when they are said.
say = { text -> System.out.println(text); System.out.flush() }

work = { job ->
    def input = job.inputs[0]
    def image = IJ.openImage(input.path)
    if (image == null) throw new IllegalArgumentException(input.name + " is no image that ImageJ can read")
    new ImageConverter(image).convertToGray8() // no IJ.run: commands of the menu need a display outside of Fiji
    image.getProcessor().setAutoThreshold("Otsu dark")
    say("::progress " + job.id + " 50 measuring")
    def table = new ResultsTable()
    def what = Measurements.AREA | Measurements.CENTROID | Measurements.SHAPE_DESCRIPTORS
    def particles = new ParticleAnalyzer(ParticleAnalyzer.SHOW_ROI_MASKS, what, table, 20, Double.POSITIVE_INFINITY)
    particles.setHideOutputImage(true)
    if (!particles.analyze(image)) throw new IllegalStateException("the particle analyzer gave up")
    table.save(job.output + "/cells.csv")
    if (particles.getOutputImage() != null) IJ.saveAsTiff(particles.getOutputImage(), job.output + "/labels.tif")
    new File(job.output, "result.json").text = '{"fields": {"cells": ' + table.size() + '}}'
}

say("::ready")
System.in.eachLine("UTF-8") { line ->
    def job = new JsonSlurper().parseText(line)
    try {
        work(job)
        say("::done " + job.id)
    } catch (IllegalArgumentException e) {
        say("::fail " + job.id + " invalid_input " + e.message)
    } catch (Exception e) {
        e.printStackTrace()
        say("::fail " + job.id + " internal " + e)
    }
}
