// es_dequantize, es_classify, es_measure, es_grade: any tensor, any parameters.
#include "input.h"

namespace {

struct Numbers {
  explicit Numbers(Input &in)
      : type(in.number(0, 3)),
        count(in.number(1, 70)),
        data(in.buffer(in.enough((count > 0 && count < 9999 ? static_cast<size_t>(count) : 8) *
                                 element_bytes(type)))),
        tensor(::tensor(in, data, type)) {}

  size_t floats(Input &in) const {
    return in.enough((count > 0 && count < 9999 ? static_cast<size_t>(count) : 8) * sizeof(float));
  }

  int32_t type, count;
  Buffer data;
  es_tensor tensor;
};

void dequantize(Input &in, const Numbers &n) {
  es_error error;
  const Buffer values(n.floats(in));
  const size_t count = static_cast<size_t>(n.count);
  if (fine(es_dequantize(&n.tensor, count, values.as<float>(), values.bytes, &error), error))
    MUST(count * sizeof(float) <= values.bytes);
}

void classify(Input &in, const Numbers &n) {
  es_error error;
  const Buffer scores(n.floats(in));
  const int32_t top_count = in.number(0, 9), activation = in.number(0, 2);
  const Buffer top(
      top_count > 0 && top_count < 9999 ? static_cast<size_t>(top_count) * sizeof(es_class) : 0);
  es_class *const out = top_count > 9998 ? nullptr : top.as<es_class>();
  if (!fine(es_classify(&n.tensor, n.count, activation, scores.as<float>(), scores.bytes, out,
                        top_count, &error),
            error))
    return;
  for (int32_t i = 0; i < top_count; ++i) {
    MUST(out[i].index >= 0 && out[i].index < n.count);
    MUST(out[i].score == scores.as<float>()[out[i].index]);
    MUST(i == 0 || out[i - 1].score > out[i].score ||
         (out[i - 1].score == out[i].score && out[i - 1].index < out[i].index));
  }
}

void measure(Input &in, const Numbers &n) {
  es_error error;
  es_quantity quantity;
  const Buffer mass(n.floats(in));
  const int32_t activation = in.number(0, 1), bounds = in.number(0, 4);
  const double first = in.real(100.0), step = 1.1 + in.real(1.0), share = 0.55 + in.real(0.5);
  const Buffer upper(bounds > 0 && bounds < 9999 ? static_cast<size_t>(bounds) * sizeof(double)
                                                 : 0);
  for (size_t i = 0; i < upper.bytes / sizeof(double); ++i)
    upper.as<double>()[i] = 10.0 * static_cast<double>(i) + in.real(6.0);
  double *const limits = bounds > 9998 ? nullptr : upper.as<double>();
  const es_status status = es_measure(&n.tensor, n.count, activation, first, step, share, limits,
                                      bounds, mass.as<float>(), mass.bytes, &quantity, &error);
  if (!fine(status, error)) return;
  MUST(quantity.low <= quantity.high);
  MUST(bounds ? quantity.grade >= 0 && quantity.grade <= bounds : quantity.grade == -1);
  int32_t grade = -2;
  if (fine(es_grade(quantity.mode, limits, bounds, &grade, &error), error))
    MUST(grade >= 0 && grade <= bounds);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Input in(data, size);
  const uint8_t function = in.raw<uint8_t>();
  const Numbers numbers(in);
  if (function % 3 == 0) dequantize(in, numbers);
  if (function % 3 == 1) classify(in, numbers);
  if (function % 3 == 2) measure(in, numbers);
  return 0;
}
