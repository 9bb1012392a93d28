/*
 * Segments the open image, or the selected annotation, with the program `unet`, and adds its instances as detections with their
 * classes and measurements.
 *
 * Use: Automate > Script editor, open this file, adapt the four lines below, Run. For a project: Run > Run for project.
 * Needs the program `unet` (docs/integrations.md) and QuPath 0.4 or later.
 */
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObjectTools
import qupath.lib.regions.RegionRequest

import java.awt.geom.AffineTransform
import java.nio.file.Files

import static qupath.lib.scripting.QP.*

// The program, a built-in model or a file, options of `unet segment`, and by how much the image is made smaller before.
def program = System.getProperty('unet.program', 'unet')
def model = System.getProperty('unet.model', 'nuclei')
def options = (System.getProperty('unet.options', '')).tokenize(' ')
def downsample = Double.parseDouble(System.getProperty('unet.downsample', '1'))

def imageData = getCurrentImageData()
if (imageData == null) throw new IllegalStateException('Open an image first.')
def server = imageData.getServer()
def selected = getSelectedObject()
def roi = selected != null && selected.isAnnotation() ? selected.getROI() : null

def folder = Files.createTempDirectory('unet-').toFile()
try {
    // The rectangle around the annotation, or everything; in pixels of the full image.
    def request = roi == null ? RegionRequest.createInstance(server, downsample) :
        RegionRequest.createInstance(server.getPath(), downsample, roi)
    def file = new File(folder, 'image.tif')
    writeImageRegion(server, request, file.getPath())

    def command = [program, 'segment', file.getPath(), '-o', folder.getPath(), '--save', 'geojson', '-m', model] + options
    def process
    try {
        process = new ProcessBuilder(command*.toString()).redirectErrorStream(true).start()
    } catch (IOException e) {
        throw new IllegalStateException("The program '${program}' cannot be started: ${e.getMessage()}", e)
    }
    def output = process.getInputStream().getText('UTF-8')
    if (process.waitFor() != 0) throw new IllegalStateException("unet failed:\n${output}")
    print output

    // From pixels of the exported region to those of the image.
    def place = new AffineTransform(request.getDownsample(), 0, 0, request.getDownsample(), request.getX(), request.getY())
    def found = PathIO.readObjects(new File(folder, 'image_contours.geojson').toPath())
        .collect { PathObjectTools.transformObject(it, place, true) }
    // Of the rectangle, what has its centre in the annotation.
    if (roi != null) found = found.findAll { roi.contains(it.getROI().getCentroidX(), it.getROI().getCentroidY()) }

    if (roi == null) {
        clearDetections()
        addObjects(found)
    } else {
        selected.clearChildObjects()
        selected.addChildObjects(found)
    }
    fireHierarchyUpdate()
    println "${found.size()} instances"
} finally {
    folder.listFiles().each { it.delete() }
    folder.delete()
}
