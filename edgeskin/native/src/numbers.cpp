// Outputs of classification, distribution and counting heads, from tensor to answer.
#include "check.h"
#include "real.h"
#include "tensor.h"

namespace {

es_status check_output(const void *output, size_t bytes, size_t count, const char *name,
                       es_error *error) {
  if (!output) return es::report(error, ES_NULL_POINTER, "%s is a null pointer", name);
  if (bytes / sizeof(float) < count)
    return es::report(error, ES_BUFFER_TOO_SMALL, "%s has %zu bytes, %zu values need %zu", name,
                      bytes, count, count * sizeof(float));
  return ES_OK;
}

es_status check_nan(const es_tensor &tensor, int32_t count, es_error *error) {
  for (int32_t i = 0; i < count; ++i)
    if (es::value_of(tensor, static_cast<size_t>(i)) !=
        es::value_of(tensor, static_cast<size_t>(i)))
      return es::report(error, ES_NOT_A_NUMBER, "value %d of the model's output is not a number",
                        i);
  return ES_OK;
}

es_status check_bounds(const double *upper, int32_t count, es_error *error) {
  if (count < 0)
    return es::report(error, ES_BAD_SIZE, "upper_count is %d, must not be negative", count);
  if (count > 0) ES_NEED(upper);
  for (int32_t i = 0; i < count; ++i)
    if (!es::finite(upper[i]) || (i > 0 && upper[i] <= upper[i - 1]))
      return es::report(error, ES_BAD_VALUE, "upper[%d] is %g, bounds must be finite and increase",
                        i, upper[i]);
  return ES_OK;
}

int32_t grade_of(double value, const double *upper, int32_t count) {
  int32_t grade = 0;
  while (grade < count && value > upper[grade]) ++grade;
  return grade;
}

es_status softmax(const es_tensor &logits, int32_t count, float *result, es_error *error) {
  double largest = es::value_of(logits, 0);
  for (int32_t i = 1; i < count; ++i) {
    const double x = es::value_of(logits, static_cast<size_t>(i));
    if (x > largest) largest = x;
  }
  if (!es::finite(largest))
    return es::report(error, ES_BAD_VALUE, "the largest logit is %g, a softmax needs it finite",
                      largest);
  double total = 0.0;
  for (int32_t i = 0; i < count; ++i)
    total += es::exponential(es::value_of(logits, static_cast<size_t>(i)) - largest);
  for (int32_t i = 0; i < count; ++i)
    result[i] = static_cast<float>(
        es::exponential(es::value_of(logits, static_cast<size_t>(i)) - largest) / total);
  return ES_OK;
}

es_status activate(const es_tensor &logits, int32_t count, int32_t activation, float *result,
                   es_error *error) {
  ES_TRY(check_nan(logits, count, error));
  if (activation == ES_SOFTMAX) return softmax(logits, count, result, error);
  for (int32_t i = 0; i < count; ++i) {
    const double x = es::value_of(logits, static_cast<size_t>(i));
    result[i] = static_cast<float>(activation == ES_SIGMOID ? 1.0 / (1.0 + es::exponential(-x))
                                                            : x);
  }
  return ES_OK;
}

// Fills top[0..count-1] by inserting each score; equal scores stay in order of their index.
void best(const float *scores, int32_t classes, es_class *top, int32_t count) {
  int32_t found = 0;
  for (int32_t i = 0; i < classes && count > 0; ++i) {
    if (found == count && scores[i] <= top[count - 1].score) continue;
    int32_t at = found < count ? found++ : count - 1;
    for (; at > 0 && scores[i] > top[at - 1].score; --at) top[at] = top[at - 1];
    top[at] = {i, scores[i]};
  }
}

// The first index at which the running share of the mass reaches `share`.
int32_t quantile(const float *mass, int32_t size, double total, double share) {
  double running = 0.0;
  for (int32_t i = 0; i < size; ++i) {
    running += static_cast<double>(mass[i]);
    if (running / total >= share) return i;
  }
  return size - 1;
}

}  // namespace

extern "C" {

es_status es_dequantize(const es_tensor *tensor, size_t count, float *values, size_t values_bytes,
                        es_error *error) {
  ES_TRY(es::check_tensor(tensor, count, error));
  ES_TRY(check_output(values, values_bytes, count, "values", error));
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(es::value_of(*tensor, i));
  return es::ok(error);
}

es_status es_classify(const es_tensor *logits, int32_t classes, int32_t activation, float *scores,
                      size_t scores_bytes, es_class *top, int32_t top_count, es_error *error) {
  if (classes < 1)
    return es::report(error, ES_BAD_SIZE, "classes is %d, must be positive", classes);
  if (top_count < 0 || top_count > classes)
    return es::report(error, ES_BAD_SIZE, "top_count is %d, must be 0 to %d", top_count, classes);
  if (activation < ES_NO_ACTIVATION || activation > ES_SIGMOID)
    return es::report(error, ES_BAD_ENUM, "activation is %d, known are 0 to %d", activation,
                      ES_SIGMOID);
  const size_t count = static_cast<size_t>(classes);
  ES_TRY(es::check_tensor(logits, count, error));
  ES_TRY(check_output(scores, scores_bytes, count, "scores", error));
  if (top_count > 0) ES_NEED(top);
  ES_TRY(activate(*logits, classes, activation, scores, error));
  best(scores, classes, top, top_count);
  return es::ok(error);
}

es_status es_measure(const es_tensor *logits, int32_t size, int32_t activation, double first,
                     double step, double share, const double *upper, int32_t upper_count,
                     float *mass, size_t mass_bytes, es_quantity *quantity, es_error *error) {
  if (size < 1) return es::report(error, ES_BAD_SIZE, "size is %d, must be positive", size);
  if (activation != ES_SOFTMAX && activation != ES_NO_ACTIVATION)
    return es::report(error, ES_BAD_ENUM, "activation is %d, a distribution knows 0 and 1",
                      activation);
  if (!es::finite(first) || !es::finite(step) || step <= 0)
    return es::report(error, ES_BAD_VALUE, "first is %g and step %g, must be finite and positive",
                      first, step);
  if (!(share > 0 && share <= 1))
    return es::report(error, ES_BAD_VALUE, "share is %g, must be above 0 and at most 1", share);
  const size_t count = static_cast<size_t>(size);
  ES_TRY(check_bounds(upper, upper_count, error));
  ES_TRY(es::check_tensor(logits, count, error));
  ES_TRY(check_output(mass, mass_bytes, count, "mass", error));
  ES_NEED(quantity);
  ES_TRY(activate(*logits, size, activation, mass, error));

  double total = 0.0, moment = 0.0;
  int32_t mode = 0;
  for (int32_t i = 0; i < size; ++i) {
    if (!(mass[i] >= 0) || !es::finite(static_cast<double>(mass[i])))
      return es::report(error, ES_BAD_VALUE, "mass[%d] is %g, must be finite and not negative", i,
                        static_cast<double>(mass[i]));
    total += static_cast<double>(mass[i]);
    moment += static_cast<double>(mass[i]) * (first + step * i);
    if (mass[i] > mass[mode]) mode = i;
  }
  if (!(total > 0)) return es::report(error, ES_BAD_VALUE, "the mass sums to %g", total);

  const double tail = (1.0 - share) / 2.0;
  es_quantity q = {};
  q.expectation = moment / total;
  q.mode = first + step * mode;
  q.low = first + step * quantile(mass, size, total, tail);
  q.high = first + step * quantile(mass, size, total, 1.0 - tail);
  q.grade = upper_count > 0 ? 0 : -1;
  double most = -1.0;
  for (int32_t i = 0; i < size && upper_count > 0;) {  // grades follow each other in the support
    const int32_t grade = grade_of(first + step * i, upper, upper_count);
    double held = 0.0;
    for (; i < size && grade_of(first + step * i, upper, upper_count) == grade; ++i)
      held += static_cast<double>(mass[i]);
    if (held > most) {
      most = held;
      q.grade = grade;
    }
  }
  if (activation == ES_NO_ACTIVATION)  // a softmax sums to 1 already
    for (int32_t i = 0; i < size; ++i)
      mass[i] = static_cast<float>(static_cast<double>(mass[i]) / total);
  *quantity = q;
  return es::ok(error);
}

es_status es_grade(double value, const double *upper, int32_t upper_count, int32_t *grade,
                   es_error *error) {
  ES_TRY(check_bounds(upper, upper_count, error));
  ES_NEED(grade);
  if (value != value) return es::report(error, ES_NOT_A_NUMBER, "the value is not a number");
  *grade = grade_of(value, upper, upper_count);
  return es::ok(error);
}

}  // extern "C"
