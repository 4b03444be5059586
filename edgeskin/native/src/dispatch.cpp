// Which kernels run: the library's only state.
#include <atomic>

#include "check.h"
#include "kernels.h"

namespace es {

namespace {

const Kernels *best() {
  if (const Kernels *found = avx2_kernels()) return found;
  if (const Kernels *found = neon_kernels()) return found;
  return &kScalar;
}

std::atomic<const Kernels *> chosen{nullptr};

}  // namespace

const Kernels &kernels() {
  const Kernels *current = chosen.load(std::memory_order_acquire);
  if (!current) chosen.store(current = best(), std::memory_order_release);
  return *current;
}

}  // namespace es

extern "C" {

const char *es_kernels_name(void) { return es::kernels().name; }

es_status es_use_kernels(int32_t wanted, es_error *error) {
  const es::Kernels *found = nullptr;
  switch (wanted) {
    case ES_KERNELS_BEST: found = es::best(); break;
    case ES_KERNELS_SCALAR: found = &es::kScalar; break;
    case ES_KERNELS_AVX2: found = es::avx2_kernels(); break;
    case ES_KERNELS_NEON: found = es::neon_kernels(); break;
    default:
      return es::report(error, ES_BAD_ENUM, "kernels is %d, known are 0 to %d", wanted,
                        ES_KERNELS_NEON);
  }
  if (!found)
    return es::report(error, ES_NOT_HERE, "this CPU or build has no %s kernels",
                      wanted == ES_KERNELS_AVX2 ? "avx2" : "neon");
  es::chosen.store(found, std::memory_order_release);
  return es::ok(error);
}

}  // extern "C"
