/*
 * Stands in for the part of QuPath's API (0.4, 0.5) that segment_with_unet.groovy uses, and runs it:
 *
 *     groovy qupath_stub.groovy SCRIPT IMAGE.png RESULT.json [X Y WIDTH HEIGHT of a selected annotation]
 *
 * Signatures are those of the real classes. RESULT gets the objects that the script left in the hierarchy.
 */
import groovy.json.JsonOutput
import groovy.json.JsonSlurper

class State {
    static image, selected, hierarchy = [], children = [], fired = 0, file
}

class Roi {
    List rings      // polygons: lists of rings of [x, y]
    double[] box
    double getCentroidX() { box ? box[0] + box[2] / 2 : mean(0) }
    double getCentroidY() { box ? box[1] + box[3] / 2 : mean(1) }
    boolean contains(double x, double y) { x >= box[0] && x < box[0] + box[2] && y >= box[1] && y < box[1] + box[3] }
    private double mean(int k) {
        // Area-weighted, of the outer ring.
        def p = rings[0][0]
        double area = 0, sum = 0
        for (int i = 0; i + 1 < p.size(); i++) {
            double cross = p[i][0] * p[i + 1][1] - p[i + 1][0] * p[i][1]
            area += cross
            sum += (p[i][k] + p[i + 1][k]) * cross
        }
        sum / (3 * area)
    }
}

class PathObject {
    Roi roi
    Map properties
    boolean annotation
    boolean isAnnotation() { annotation }
    Roi getROI() { roi }
    void clearChildObjects() { State.children.clear() }
    void addChildObjects(Collection all) { State.children.addAll(all) }
}

class Server {
    String getPath() { State.file }
    int getWidth() { State.image.width }
    int getHeight() { State.image.height }
}

class ImageData {
    Server getServer() { new Server() }
}

class RegionRequestStub {
    double downsample
    int x, y, width, height
    static createInstance(Server server, double downsample) {
        new RegionRequestStub(downsample: downsample, x: 0, y: 0, width: server.width, height: server.height)
    }
    static createInstance(String path, double downsample, Roi roi) {
        def b = roi.box*.intValue()
        new RegionRequestStub(downsample: downsample, x: b[0], y: b[1], width: b[2], height: b[3])
    }
}

class QPStub {
    static getCurrentImageData() { new ImageData() }
    static getSelectedObject() { State.selected }
    static clearDetections() { State.hierarchy.clear() }
    static addObjects(Collection all) { State.hierarchy.addAll(all) }
    static fireHierarchyUpdate() { State.fired++ }
    static writeImageRegion(Server server, RegionRequestStub r, String path) {
        def part = State.image.getSubimage(r.x, r.y, r.width, r.height)
        int w = r.width / r.downsample, h = r.height / r.downsample
        def out = new java.awt.image.BufferedImage(w, h, part.getType())
        def raster = part.getRaster()
        for (int y = 0; y < h; y++) for (int x = 0; x < w; x++)
            out.raster.setSample(x, y, 0, raster.getSample((int) (x * r.downsample), (int) (y * r.downsample), 0))
        assert javax.imageio.ImageIO.write(out, 'tiff', new File(path))
    }
}

class PathIOStub {
    static List readObjects(java.nio.file.Path path) {
        new JsonSlurper().parse(path.toFile(), 'UTF-8').features.collect {
            def polygons = it.geometry.type == 'Polygon' ? [it.geometry.coordinates] : it.geometry.coordinates
            new PathObject(roi: new Roi(rings: polygons), properties: it.properties)
        }
    }
}

class PathObjectToolsStub {
    static transformObject(PathObject o, java.awt.geom.AffineTransform t, boolean copyMeasurements) {
        def at = { p ->
            double[] to = new double[2]
            t.transform([p[0], p[1]] as double[], 0, to, 0, 1)
            [to[0], to[1]]
        }
        def rings = o.roi.rings.collect { polygon -> polygon.collect { ring -> ring.collect(at) } }
        def kept = copyMeasurements ? o.properties : o.properties.findAll { it.key != 'measurements' }
        new PathObject(roi: new Roi(rings: rings), properties: kept)
    }
}

State.file = args[1]
State.image = javax.imageio.ImageIO.read(new File(args[1]))
if (args.length > 3) {
    State.selected = new PathObject(annotation: true, roi: new Roi(box: args[3..6].collect { it as double } as double[]))
}
// The same text, with the names of the stubs: Groovy 2.4 has no class of a package in a script.
def names = ['qupath.lib.io.PathIO': 'PathIOStub', 'qupath.lib.objects.PathObjectTools': 'PathObjectToolsStub',
             'qupath.lib.regions.RegionRequest': 'RegionRequestStub']
def text = new File(args[0]).getText('UTF-8')
names.each { full, stub ->
    assert text.contains("import ${full}\n")
    text = text.replace("import ${full}\n", '').replaceAll("\\b${full.tokenize('.')[-1]}\\.", "${stub}.")
}
assert text.contains('import static qupath.lib.scripting.QP.*\n')
text = text.replace('import static qupath.lib.scripting.QP.*\n', 'import static QPStub.*\n')
new GroovyShell(this.class.classLoader).evaluate(text)
assert State.fired == 1
def features = { all ->
    all.collect { [type: 'Feature', properties: it.properties, geometry: [type: 'MultiPolygon', coordinates: it.roi.rings]] }
}
new File(args[2]).text = JsonOutput.toJson([objects: features(State.hierarchy), children: features(State.children)])
