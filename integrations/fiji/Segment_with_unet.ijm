// Segments the shown plane of the open image with the program `unet`: outlines go into the ROI Manager, named and coloured by class,
// and the table into Results.
//
// Use: Plugins > Macros > Run.., or Plugins > Install.. to have it in the menu. Needs the program `unet` (docs/integrations.md).
// From another macro: runMacro("Segment_with_unet.ijm", "program=/usr/local/bin/unet model=nuclei options=[--min-area 30]").

requires("1.52i");
if (nImages == 0) exit("Open an image first.");

program = call("ij.Prefs.get", "unet.program", "unet");
model = call("ij.Prefs.get", "unet.model", "nuclei");
options = call("ij.Prefs.get", "unet.options", "");
given = getArgument();
if (given != "") {
    program = value(given, "program", program);
    model = value(given, "model", model);
    options = value(given, "options", "");
} else {
    Dialog.create("Segment with unet");
    Dialog.addString("Program", program, 40);
    Dialog.addString("Model (name or file)", model, 40);
    Dialog.addString("Further options", options, 40);
    Dialog.addMessage("Models: nuclei, nuclei-unet++, nuclei-unet3+, nuclei-he, or a file.\nOptions: those of `unet segment`, such as --diameter auto.");
    Dialog.show();
    program = Dialog.getString();
    model = Dialog.getString();
    options = Dialog.getString();
    call("ij.Prefs.set", "unet.program", program);
    call("ij.Prefs.set", "unet.model", model);
    call("ij.Prefs.set", "unet.options", options);
}

// A copy of the whole plane, whatever is selected, with the image's calibration.
image = getImageID();
title = getTitle();
Stack.getPosition(channel, slice, frame);
planes = nSlices;
folder = getDirectory("temp") + "unet-" + getTime() + File.separator;
File.makeDirectory(folder);
if (!File.exists(folder)) exit("No folder can be made in " + getDirectory("temp"));
file = folder + "image.tif";
batch = is("Batch Mode");
setBatchMode(true);
selected = selectionType() >= 0;
if (selected) {
    run("Select None");
}
run("Duplicate...", "title=unet-input");
copy = getImageID();
if (copy == image) exit("The image could not be copied.");
saveAs("Tiff", file);
selectImage(copy);
close();
selectImage(image);
if (selected) run("Restore Selection");
// Before the ROI Manager is used: in batch mode macros have one of their own, which nobody sees.
setBatchMode(batch);

showStatus("unet is segmenting " + title);
w = newArray(0);
if (options != "") w = split(options, " ");
printed = run_unet(program, file, folder, model, w);
rois = folder + "image_rois.zip";
table = folder + "image_objects.csv";
if (!File.exists(rois) || !File.exists(table)) {
    discard(folder);
    exit("unet found no result.\n \n" + printed + "\nIs the program's path right? " + program + "\nIn a terminal: " + program + " devices");
}

// Classes, by the number of the instance.
lines = split(File.openAsString(table), "\n");
header = split(lines[0], ",");
classAt = -1;
for (i = 0; i < header.length; i++) if (header[i] == "class") classAt = i;
count = lines.length - 1;
names = newArray(maxOf(count, 1));
for (i = 0; i < count; i++) {
    cells = split(lines[i + 1], ",");
    names[i] = cells[classAt];
}

roiManager("reset");
if (count > 0) {
    roiManager("Open", rois);
    if (roiManager("count") != count) exit("The archive has " + roiManager("count") + " outlines, the table " + count + " rows.");
    colours = newArray("yellow", "cyan", "magenta", "green", "red", "orange", "blue", "white");
    classes = newArray(0);
    for (i = 0; i < count; i++) {
        k = 0;
        // Macros evaluate both sides of `&&`, so the loop has no second condition.
        for (j = classes.length - 1; j >= 0; j--) if (classes[j] == names[i]) k = j + 1;
        k--;
        if (k < 0) k = classes.length;
        if (k == classes.length) classes = Array.concat(classes, names[i]);
        names[i] = "" + (i + 1) + " " + names[i] + "," + colours[k % colours.length];
    }
    for (i = 0; i < count; i++) {
        roiManager("select", i);
        // The name is the number of the instance, whatever the order in the archive.
        number = parseInt(Roi.getName());
        parts = split(names[number - 1], ",");
        roiManager("rename", parts[0]);
        roiManager("Set Color", parts[1]);
        if (planes > 1) {
            Stack.setPosition(channel, slice, frame);
            Roi.setPosition(channel, slice, frame);
            roiManager("update");
        }
    }
    roiManager("deselect");
    run("Select None");
    roiManager("show all without labels");
}
// As the table Results, of which every row is an instance.
run("Clear Results");
for (i = 0; i < count; i++) {
    cells = split(lines[i + 1], ",");
    for (k = 0; k < header.length; k++) {
        number = parseFloat(cells[k]);
        if (isNaN(number)) setResult(header[k], i, cells[k]);
        else setResult(header[k], i, number);
    }
}
updateResults();
discard(folder);
showStatus("unet: " + count + " instances in " + title);

// The value of `key=value` or `key=[a value]` in the argument of the macro.
function value(text, key, otherwise) {
    at = indexOf(" " + text, " " + key + "=");
    if (at < 0) return otherwise;
    rest = substring(text, at + lengthOf(key) + 1);
    if (startsWith(rest, "[")) return substring(rest, 1, indexOf(rest, "]"));
    end = indexOf(rest, " ");
    if (end < 0) return rest;
    return substring(rest, 0, end);
}

// exec() takes words one by one, not an array.
function run_unet(p, file, out, m, w) {
    if (w.length == 0) return exec(p, "segment", file, "-o", out, "--save", "rois,csv", "-m", m);
    if (w.length == 1) return exec(p, "segment", file, "-o", out, "--save", "rois,csv", "-m", m, w[0]);
    if (w.length == 2) return exec(p, "segment", file, "-o", out, "--save", "rois,csv", "-m", m, w[0], w[1]);
    if (w.length == 3) return exec(p, "segment", file, "-o", out, "--save", "rois,csv", "-m", m, w[0], w[1], w[2]);
    if (w.length == 4) return exec(p, "segment", file, "-o", out, "--save", "rois,csv", "-m", m, w[0], w[1], w[2], w[3]);
    if (w.length == 5) return exec(p, "segment", file, "-o", out, "--save", "rois,csv", "-m", m, w[0], w[1], w[2], w[3], w[4]);
    if (w.length == 6) return exec(p, "segment", file, "-o", out, "--save", "rois,csv", "-m", m, w[0], w[1], w[2], w[3], w[4], w[5]);
    if (w.length == 7) return exec(p, "segment", file, "-o", out, "--save", "rois,csv", "-m", m, w[0], w[1], w[2], w[3], w[4], w[5], w[6]);
    if (w.length == 8) return exec(p, "segment", file, "-o", out, "--save", "rois,csv", "-m", m, w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]);
    exit("At most eight words of options are possible.");
}

function discard(folder) {
    files = getFileList(folder);
    for (i = 0; i < files.length; i++) ok = File.delete(folder + files[i]);
    ok = File.delete(folder);
}
