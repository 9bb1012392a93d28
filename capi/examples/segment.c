/* Finds the nuclei of an 8-bit PGM image and writes their numbers as a 16-bit PGM:
 *
 *     segment DEVICE MODEL IN.pgm OUT.pgm
 *
 * DEVICE is "auto", MODEL "nuclei" or a file. Prints the number of instances. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unet_wgpu.h"

static int report(double fraction, void *user) {
    *(double *)user = fraction;
    return 0; /* anything else cancels */
}

static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, unet_last_error());
    return EXIT_FAILURE;
}

static unsigned char *read_pgm(const char *path, size_t *width, size_t *height) {
    unsigned char *pixels = NULL;
    FILE *file = fopen(path, "rb");
    if (file && fscanf(file, "P5 %zu %zu 255", width, height) == 2 && fgetc(file) != EOF) {
        pixels = malloc(*width * *height);
        if (pixels && fread(pixels, 1, *width * *height, file) != *width * *height) {
            free(pixels);
            pixels = NULL;
        }
    }
    if (file) fclose(file);
    return pixels;
}

static int write_pgm(const char *path, const uint32_t *labels, size_t width, size_t height) {
    FILE *file = fopen(path, "wb");
    if (!file) return 0;
    fprintf(file, "P5\n%zu %zu\n65535\n", width, height);
    for (size_t i = 0; i < width * height; i++) {
        fputc((int)(labels[i] >> 8 & 255), file);
        fputc((int)(labels[i] & 255), file);
    }
    return fclose(file) == 0;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "segment DEVICE MODEL IN.pgm OUT.pgm\n");
        return EXIT_FAILURE;
    }
    UnetDevice *device = NULL;
    UnetModel *model = NULL;
    UnetSegmenter *segmenter = NULL;
    int code = EXIT_FAILURE;
    double done = 0;
    size_t width = 0, height = 0;
    unsigned char *pixels = read_pgm(argv[3], &width, &height);
    uint32_t *labels = pixels ? malloc(width * height * sizeof *labels) : NULL;
    if (!labels) {
        fprintf(stderr, "%s: is no 8-bit PGM image\n", argv[3]);
        goto end;
    }
    if (unet_device_open(argv[1], &device) != UNET_OK || unet_model_open(argv[2], &model) != UNET_OK ||
        unet_segmenter_open(device, model, &segmenter) != UNET_OK) {
        code = failed("open");
        goto end;
    }
    UnetImage image;
    memset(&image, 0, sizeof image);
    image.size = sizeof image;
    image.data = pixels;
    image.width = width;
    image.height = height;
    image.channels = 1;
    image.sample_type = UNET_U8;
    UnetOptions options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.progress = report;
    options.user = &done;
    UnetOutputs outputs;
    memset(&outputs, 0, sizeof outputs);
    outputs.size = sizeof outputs;
    outputs.labels = labels;
    UnetSummary summary;
    memset(&summary, 0, sizeof summary);
    summary.size = sizeof summary;
    if (unet_segment(segmenter, &image, &options, &outputs, &summary) != UNET_OK) {
        code = failed(argv[3]);
        goto end;
    }
    if (!write_pgm(argv[4], labels, width, height)) {
        fprintf(stderr, "%s: cannot be written\n", argv[4]);
        goto end;
    }
    printf("%u\n", (unsigned)summary.instances);
    code = done == 1.0 ? EXIT_SUCCESS : EXIT_FAILURE;
end:
    unet_segmenter_close(segmenter);
    unet_model_close(model);
    unet_device_close(device);
    free(labels);
    free(pixels);
    return code;
}
