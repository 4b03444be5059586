// Runs a fuzz target without libFuzzer: driver SECONDS FOLDER [SEED]
//
// First every file of the corpus FOLDER, then changed copies of them and noise, the same ones for
// the same seed. For compilers that have sanitizers and no libFuzzer; `make fuzz` uses the latter.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;
using Random = std::mt19937_64;

size_t below(Random &random, size_t limit) { return static_cast<size_t>(random() % limit); }

Bytes noise(Random &random) {
  Bytes bytes(below(random, 600));
  for (uint8_t &byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

Bytes changed(Bytes bytes, Random &random) {
  for (size_t n = 1 + below(random, 6); n > 0 && !bytes.empty(); --n) {
    const size_t at = below(random, bytes.size());
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (below(random, 4)) {
      case 0: *place = static_cast<uint8_t>(random()); break;
      case 1: *place ^= static_cast<uint8_t>(1u << below(random, 8)); break;
      case 2:
        bytes.erase(place, place + static_cast<std::ptrdiff_t>(below(random, bytes.size() - at)));
        break;
      default: bytes.insert(place, static_cast<uint8_t>(random()));
    }
  }
  return bytes;
}

}  // namespace

int main(int count, char **arguments) {
  if (count < 3) {
    std::fprintf(stderr, "usage: driver SECONDS FOLDER [SEED]\n");
    return 2;
  }
  std::vector<std::filesystem::path> paths;
  for (const auto &entry : std::filesystem::directory_iterator(arguments[2]))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> corpus;
  for (const auto &path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    LLVMFuzzerTestOneInput(corpus.back().data(), corpus.back().size());
  }
  Random random(count > 3 ? std::strtoull(arguments[3], nullptr, 10) : 1);
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::duration<double>(std::strtod(arguments[1], nullptr));
  long runs = static_cast<long>(corpus.size());
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    const bool fresh = corpus.empty() || below(random, 4) == 0;
    const Bytes bytes = fresh ? noise(random)
                              : changed(corpus[below(random, corpus.size())], random);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%ld runs\n", runs);
  return 0;
}
