// What goes wrong, from C++: every wrong call below returns its code and says why. `errors DEVICE MODEL` prints nothing if so.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "unet_wgpu.h"

namespace {

template <typename T, void (*close)(T *)>
struct Closer {
    void operator()(T *object) const { close(object); }
};
using Device = std::unique_ptr<UnetDevice, Closer<UnetDevice, unet_device_close>>;
using Model = std::unique_ptr<UnetModel, Closer<UnetModel, unet_model_close>>;
using Segmenter = std::unique_ptr<UnetSegmenter, Closer<UnetSegmenter, unet_segmenter_close>>;

int wrong = 0;

void expect(UnetStatus status, UnetStatus expected, const std::string &part) {
    const std::string text = unet_last_error();
    if (status != expected || text.find(part) == std::string::npos) {
        std::cerr << "status " << status << ", expected " << expected << "; \"" << text << "\" has no \"" << part << "\"\n";
        ++wrong;
    }
}

template <typename T>
T sized() {
    T value;
    std::memset(&value, 0, sizeof value);
    value.size = sizeof value;
    return value;
}

int cancel(double, void *) { return 1; }

}  // namespace

int main(int argc, char **argv) {
    if (argc != 3) return EXIT_FAILURE;
    UnetDevice *d = nullptr;
    UnetModel *m = nullptr;
    UnetSegmenter *s = nullptr;
    expect(unet_device_open("no such device", &d), UNET_DEVICE, "unknown device `no such device`");
    expect(unet_device_open("\xff", &d), UNET_INVALID, "choice: is not UTF-8");
    expect(unet_device_open(argv[1], nullptr), UNET_INVALID, "device: is null");
    expect(unet_model_open("none.safetensors", &m), UNET_FILE, "none.safetensors");
    expect(unet_model_open(nullptr, &m), UNET_INVALID, "name_or_path: is null");
    expect(unet_model_open_bytes("bytes", "half a file", 11, &m), UNET_FILE, "bytes");
    if (unet_device_open(argv[1], &d) != UNET_OK || unet_model_open(argv[2], &m) != UNET_OK) {
        std::cerr << unet_last_error() << "\n";
        return EXIT_FAILURE;
    }
    Device device(d);
    Model model(m);
    expect(unet_segmenter_open(device.get(), nullptr, &s), UNET_INVALID, "model: is null");
    if (unet_segmenter_open(device.get(), model.get(), &s) != UNET_OK) return EXIT_FAILURE;
    Segmenter segmenter(s);

    std::vector<std::uint16_t> pixels(64 * 48, 100);
    std::vector<std::uint8_t> mask(64 * 48, 7);
    auto image = sized<UnetImage>();
    image.data = pixels.data();
    image.width = 64;
    image.height = 48;
    image.channels = 1;
    image.sample_type = UNET_U16;
    auto outputs = sized<UnetOutputs>();
    outputs.mask = mask.data();
    auto run = [&](const UnetImage &i, const UnetOptions *o) { return unet_segment(segmenter.get(), &i, o, &outputs, nullptr); };

    auto bad = image;
    bad.size = 8;
    expect(run(bad, nullptr), UNET_INVALID, "set it to sizeof(UnetImage)");
    bad = image;
    bad.next = &bad;
    expect(run(bad, nullptr), UNET_INVALID, "`next` is not null");
    bad = image;
    bad.sample_type = 9;
    expect(run(bad, nullptr), UNET_INVALID, "`sample_type` 9");
    bad = image;
    bad.width = 0;
    expect(run(bad, nullptr), UNET_INVALID, "0x48");
    bad = image;
    bad.data = nullptr;
    expect(run(bad, nullptr), UNET_INVALID, "`data` is null");
    auto options = sized<UnetOptions>();
    options.progress = cancel;
    expect(run(image, &options), UNET_CANCELLED, "cancelled");
    options = sized<UnetOptions>();
    options.memory = 1;
    expect(run(image, &options), UNET_LIMIT, "limit");
    for (std::uint8_t id : mask) wrong += id != 7;  // nothing was written so far

    if (run(image, nullptr) != UNET_OK) {
        std::cerr << unet_last_error() << "\n";
        ++wrong;
    }
    for (std::uint8_t id : mask) wrong += id > 1;
    if (std::string(unet_version()).empty() || std::string(unet_device_name(device.get())).empty()) ++wrong;
    if (unet_model_channels(model.get()) != 1 || unet_model_class_count(model.get()) != 2 ||
        std::string(unet_model_class_name(model.get(), 1)) != "nucleus" || unet_model_class_name(model.get(), 2)) {
        ++wrong;
    }
    return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
