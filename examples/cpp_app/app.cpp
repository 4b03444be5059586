// The app's side of a model: an image buffer becomes the model's input, its outputs an answer.
//
//   app SPEC.json PHOTO.ppm INPUT.bin [LOGITS.bin]
//
// Writes to INPUT.bin the pixels that an artifact with `--io app` takes: uint8, height x width x 3.
// With LOGITS.bin (4 + 65 float32 of a network with the heads of edgeskin's acne model) it also
// prints the severity and the lesion count. A real app has a camera instead of the PPM file and a
// runtime (LiteRT, ONNX Runtime) between the two halves; neither changes what stands here.
// Research use: the answer of a model is no diagnosis.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "edgeskin.h"

namespace {

// An app reads these from the heads in spec.json, with the JSON reader that it has anyway.
constexpr const char *kSeverities[] = {"mild", "moderate", "severe", "very severe"};
constexpr int32_t kClasses = 4;
constexpr int32_t kCounts = 65;  // lesions 1, 2, ... 65
constexpr double kUpper[] = {5.0, 20.0, 50.0};

void check(es_status status, const es_error &error) {
  if (status == ES_OK) return;
  std::fprintf(stderr, "%s: %s\n", es_status_name(status), error.message);
  std::exit(2);
}

std::vector<char> read(const char *path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path);
    std::exit(2);
  }
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Binary PPM without comments: the simplest file that holds RGB pixels.
std::vector<char> read_ppm(const char *path, int32_t *width, int32_t *height) {
  const std::vector<char> bytes = read(path);
  std::istringstream header(std::string(bytes.begin(), bytes.end()));
  std::string magic;
  int32_t most = 0;
  header >> magic >> *width >> *height >> most;
  if (magic != "P6" || most != 255) {
    std::fprintf(stderr, "%s is no binary PPM with 8 bits\n", path);
    std::exit(2);
  }
  return {bytes.begin() + static_cast<std::ptrdiff_t>(header.tellg()) + 1, bytes.end()};
}

std::vector<char> preprocess(const std::vector<char> &spec, const std::vector<char> &pixels,
                             int32_t width, int32_t height) {
  es_error error;
  es_image image;  // for a camera: ES_NV12 or ES_BGRA, its strides, and the EXIF orientation
  check(es_image_init(ES_RGB, width, height, &image, &error), error);
  image.planes[0] = reinterpret_cast<const uint8_t *>(pixels.data());
  image.bytes[0] = pixels.size();

  es_recipe recipe;  // size, resize rule and filter of the model
  check(es_recipe_from_spec(spec.data(), spec.size(), &recipe, &error), error);
  // An `--io app` artifact normalises by itself and takes RGB pixels as they are.
  recipe.channels = ES_RGB;
  recipe.type = ES_UINT8;
  recipe.layout = ES_NHWC;
  recipe.scale = 1.0 / 255.0;
  recipe.zero_point = 0;
  for (int channel = 0; channel < 3; ++channel) {
    recipe.mean[channel] = 0.0;
    recipe.std[channel] = 1.0;
  }

  size_t output_bytes = 0;
  size_t workspace_bytes = 0;
  check(es_output_bytes(&recipe, &output_bytes, &error), error);
  check(es_preprocess_workspace(&image, &recipe, &workspace_bytes, &error), error);
  std::vector<char> output(output_bytes);
  std::vector<char> workspace(workspace_bytes);  // an app keeps it from frame to frame
  check(es_preprocess(&image, &recipe, output.data(), output.size(), workspace.data(),
                      workspace.size(), &error),
        error);
  return output;
}

void decode(const std::vector<char> &logits) {
  if (logits.size() != (kClasses + kCounts) * sizeof(float)) {
    std::fprintf(stderr, "expected %d float32 values\n", kClasses + kCounts);
    std::exit(2);
  }
  es_error error;
  const es_tensor severity = {logits.data(), kClasses * sizeof(float), ES_FLOAT32, 0.0, 0};
  float scores[kClasses];
  es_class best;
  check(es_classify(&severity, kClasses, ES_SOFTMAX, scores, sizeof scores, &best, 1, &error),
        error);
  std::printf("severity %s %.6f\n", kSeverities[best.index], static_cast<double>(best.score));

  const es_tensor count = {logits.data() + kClasses * sizeof(float), kCounts * sizeof(float),
                           ES_FLOAT32, 0.0, 0};
  float mass[kCounts];
  es_quantity quantity;
  check(es_measure(&count, kCounts, ES_SOFTMAX, 1.0, 1.0, 0.8, kUpper, 3, mass, sizeof mass,
                   &quantity, &error),
        error);
  std::printf("count %.6f lesions, 80 %%: %g to %g, grade %s\n", quantity.expectation, quantity.low,
              quantity.high, kSeverities[quantity.grade]);
}

}  // namespace

int main(int count, char **arguments) {
  if (count != 4 && count != 5) {
    std::fprintf(stderr, "app SPEC.json PHOTO.ppm INPUT.bin [LOGITS.bin]\n");
    return 2;
  }
  int32_t width = 0;
  int32_t height = 0;
  const std::vector<char> pixels = read_ppm(arguments[2], &width, &height);
  const std::vector<char> input = preprocess(read(arguments[1]), pixels, width, height);
  std::ofstream(arguments[3], std::ios::binary)
      .write(input.data(), static_cast<std::streamsize>(input.size()));
  if (count == 5) decode(read(arguments[4]));
  return 0;
}
