// Runs the macro on an image as a user would, and saves what it left: image|macro|program|options|outlines|table.
a = split(getArgument(), "|");
open(a[0]);
makeRectangle(10, 10, 20, 20);
runMacro(a[1], "program=[" + a[2] + "] model=nuclei options=[" + a[3] + "]");
if (roiManager("count") > 0) roiManager("Save", a[4]);
saveAs("Results", a[5]);
run("Quit");
