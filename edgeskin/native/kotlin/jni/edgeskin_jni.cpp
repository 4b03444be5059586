// The C functions for edgeskin.Native (Native.kt): numbers of a structure travel in an int[] and a
// double[], in the order of its fields in edgeskin.h; memory as a direct ByteBuffer, used in place,
// or a byte[], which the JVM may copy. A status becomes an EdgeskinException with the C message.
#include <jni.h>

#include "../../edgeskin.h"

namespace {

void refuse(JNIEnv *env, const es_error &error) {
  jclass type = env->FindClass("edgeskin/EdgeskinException");
  if (!type) return;
  jmethodID make = env->GetMethodID(type, "<init>", "(Ljava/lang/String;Ljava/lang/String;)V");
  jstring status = env->NewStringUTF(es_status_name(error.status));
  jstring message = env->NewStringUTF(error.message);
  if (make && status && message)
    env->Throw(static_cast<jthrowable>(env->NewObject(type, make, status, message)));
}

// True where the call went well; else an exception is pending.
bool fine(JNIEnv *env, es_status status, const es_error &error) {
  if (status != ES_OK) refuse(env, error);
  return status == ES_OK;
}

// Numbers out of a Java array; 0 beyond its end, so that no caller can make C read past it.
struct Ints {
  jint v[16] = {};
  Ints(JNIEnv *env, jintArray array) {
    if (array)
      env->GetIntArrayRegion(array, 0,
                             env->GetArrayLength(array) < 16 ? env->GetArrayLength(array) : 16, v);
  }
};
struct Reals {
  jdouble v[16] = {};
  Reals(JNIEnv *env, jdoubleArray array) {
    if (array)
      env->GetDoubleArrayRegion(
          array, 0, env->GetArrayLength(array) < 16 ? env->GetArrayLength(array) : 16, v);
  }
};

// `bytes` bytes from `offset` of a direct ByteBuffer or a byte[], clipped to what is there.
class Memory {
 public:
  Memory(JNIEnv *env, jobject object, jlong offset, jlong bytes, bool output = false)
      : env_(env), mode_(output ? 0 : JNI_ABORT) {
    if (!object || offset < 0 || bytes < 0) return;
    jlong capacity;
    uint8_t *start;
    if (env->IsInstanceOf(object, env->FindClass("[B"))) {
      array_ = static_cast<jbyteArray>(object);
      capacity = env->GetArrayLength(array_);
      start = reinterpret_cast<uint8_t *>(elements_ = env->GetByteArrayElements(array_, nullptr));
    } else {
      capacity = env->GetDirectBufferCapacity(object);
      start = static_cast<uint8_t *>(env->GetDirectBufferAddress(object));
    }
    if (!start || offset > capacity) return;
    data = start + offset;
    size = static_cast<size_t>(bytes < capacity - offset ? bytes : capacity - offset);
  }
  ~Memory() {
    if (elements_) env_->ReleaseByteArrayElements(array_, elements_, mode_);
  }
  Memory(const Memory &) = delete;
  Memory &operator=(const Memory &) = delete;

  uint8_t *data = nullptr;
  size_t size = 0;

 private:
  JNIEnv *env_;
  jint mode_;
  jbyteArray array_ = nullptr;
  jbyte *elements_ = nullptr;
};

Memory whole(JNIEnv *env, jobject workspace) { return Memory(env, workspace, 0, INT64_MAX); }

bool image_of(JNIEnv *env, jintArray numbers, es_image *image) {
  const Ints n(env, numbers);
  es_error error;
  if (!fine(env, es_image_init(n.v[0], n.v[1], n.v[2], image, &error), error)) return false;
  image->orientation = n.v[3];
  image->matrix = n.v[4];
  image->range = n.v[5];
  for (int i = 0; i < 3;
       ++i) {  // stride (0: rows side by side) and bytes of each plane that there is
    if (n.v[6 + 2 * i]) image->strides[i] = static_cast<size_t>(n.v[6 + 2 * i]);
    if (n.v[7 + 2 * i] >= 0) image->bytes[i] = static_cast<size_t>(n.v[7 + 2 * i]);
  }
  return true;
}

bool recipe_of(JNIEnv *env, jintArray ints, jdoubleArray reals, es_recipe *recipe) {
  const Ints n(env, ints);
  const Reals r(env, reals);
  es_error error;
  if (!fine(env, es_recipe_init(n.v[0], n.v[1], recipe, &error), error)) return false;
  recipe->fit = n.v[2];
  recipe->resize_to = n.v[3];
  recipe->filter = n.v[4];
  recipe->pad_value = n.v[5];
  recipe->channels = n.v[6];
  recipe->type = n.v[7];
  recipe->layout = n.v[8];
  recipe->zero_point = n.v[9];
  for (int i = 0; i < 4; ++i) recipe->crop[i] = static_cast<float>(r.v[i]);
  for (int i = 0; i < 3; ++i) recipe->mean[i] = r.v[4 + i], recipe->std[i] = r.v[7 + i];
  recipe->scale = r.v[10];
  return true;
}

es_placement placement_of(JNIEnv *env, jintArray ints, jdoubleArray reals) {
  const Ints n(env, ints);
  const Reals r(env, reals);
  es_placement p = {};
  p.image_width = n.v[0], p.image_height = n.v[1], p.orientation = n.v[2];
  p.resized_width = n.v[3], p.resized_height = n.v[4], p.left = n.v[5], p.top = n.v[6];
  p.width = n.v[7], p.height = n.v[8];
  for (int i = 0; i < 4; ++i) p.crop[i] = static_cast<float>(r.v[i]);
  return p;
}

es_tensor tensor_of(const Memory &memory, jint type, jdouble scale, jint zero_point) {
  return es_tensor{memory.data, memory.size, type, scale, zero_point};
}

es_mask mask_of(const Memory &memory, jint width, jint height) {
  return es_mask{memory.data, static_cast<size_t>(width < 0 ? 0 : width), memory.size, width,
                 height};
}

// Floats that C fills, in a FloatArray of Java's.
class Floats {
 public:
  Floats(JNIEnv *env, jfloatArray array) : env_(env), array_(array) {
    data = env->GetFloatArrayElements(array, nullptr);
    bytes = static_cast<size_t>(env->GetArrayLength(array)) * sizeof(float);
  }
  ~Floats() { env_->ReleaseFloatArrayElements(array_, data, 0); }
  Floats(const Floats &) = delete;
  Floats &operator=(const Floats &) = delete;

  float *data;
  size_t bytes;

 private:
  JNIEnv *env_;
  jfloatArray array_;
};

// Doubles that C reads; may be empty.
class Bounds {
 public:
  Bounds(JNIEnv *env, jdoubleArray array) : env_(env), array_(array) {
    data = env->GetDoubleArrayElements(array, nullptr);
    count = env->GetArrayLength(array);
  }
  ~Bounds() { env_->ReleaseDoubleArrayElements(array_, data, JNI_ABORT); }
  Bounds(const Bounds &) = delete;
  Bounds &operator=(const Bounds &) = delete;

  double *data;
  jint count;

 private:
  JNIEnv *env_;
  jdoubleArray array_;
};

// `boxes` is a direct buffer of 40-byte es_box structures, which Kotlin reads.
static_assert(sizeof(es_box) == 40, "Masks.kt reads 40 bytes a box");

}  // namespace

#define NATIVE(type, name) extern "C" JNIEXPORT type JNICALL Java_edgeskin_Native_##name

NATIVE(jint, version)(JNIEnv *, jobject) { return es_version(); }

NATIVE(void, useKernels)(JNIEnv *env, jobject, jint kernels) {
  es_error error;
  fine(env, es_use_kernels(kernels, &error), error);
}

NATIVE(jstring, kernelsName)(JNIEnv *env, jobject) { return env->NewStringUTF(es_kernels_name()); }

NATIVE(void, recipeFromSpec)(JNIEnv *env, jobject, jbyteArray text, jintArray ints,
                             jdoubleArray reals) {
  es_recipe r;
  es_error error;
  es_status status;
  {
    const Memory memory(env, text, 0, INT64_MAX);
    status = es_recipe_from_spec(reinterpret_cast<const char *>(memory.data), memory.size, &r,
                                 &error);
  }
  if (!fine(env, status, error)) return;
  const jint n[] = {r.width,     r.height,   r.fit,  r.resize_to, r.filter,
                    r.pad_value, r.channels, r.type, r.layout,    r.zero_point};
  const jdouble d[] = {r.crop[0], r.crop[1], r.crop[2], r.crop[3], r.mean[0], r.mean[1],
                       r.mean[2], r.std[0],  r.std[1],  r.std[2],  r.scale};
  env->SetIntArrayRegion(ints, 0, 10, n);
  env->SetDoubleArrayRegion(reals, 0, 11, d);
}

NATIVE(jlong, outputBytes)(JNIEnv *env, jobject, jintArray ints, jdoubleArray reals) {
  es_recipe recipe;
  es_error error;
  size_t bytes = 0;
  if (recipe_of(env, ints, reals, &recipe))
    fine(env, es_output_bytes(&recipe, &bytes, &error), error);
  return static_cast<jlong>(bytes);
}

NATIVE(void, place)(JNIEnv *env, jobject, jintArray image_numbers, jintArray ints,
                    jdoubleArray reals, jintArray found_ints, jdoubleArray found_reals) {
  es_image image;
  es_recipe recipe;
  es_placement p;
  es_error error;
  if (!image_of(env, image_numbers, &image) || !recipe_of(env, ints, reals, &recipe)) return;
  if (!fine(env, es_place(&image, &recipe, &p, &error), error)) return;
  const jint n[] = {p.image_width, p.image_height, p.orientation, p.resized_width, p.resized_height,
                    p.left,        p.top,          p.width,       p.height};
  const jdouble d[] = {p.crop[0], p.crop[1], p.crop[2], p.crop[3]};
  env->SetIntArrayRegion(found_ints, 0, 9, n);
  env->SetDoubleArrayRegion(found_reals, 0, 4, d);
}

NATIVE(jlong, preprocessWorkspace)(JNIEnv *env, jobject, jintArray image_numbers, jintArray ints,
                                   jdoubleArray reals) {
  es_image image;
  es_recipe recipe;
  es_error error;
  size_t bytes = 0;
  if (image_of(env, image_numbers, &image) && recipe_of(env, ints, reals, &recipe))
    fine(env, es_preprocess_workspace(&image, &recipe, &bytes, &error), error);
  return static_cast<jlong>(bytes);
}

NATIVE(void, preprocess)(JNIEnv *env, jobject, jintArray image_numbers, jobject plane0,
                         jobject plane1, jobject plane2, jintArray offsets, jintArray ints,
                         jdoubleArray reals, jbyteArray mask, jint mask_width, jint mask_height,
                         jbyteArray keep_and_fill, jobject output, jint output_offset,
                         jint output_bytes, jobject workspace) {
  es_image image;
  es_recipe recipe;
  es_error error;
  if (!image_of(env, image_numbers, &image) || !recipe_of(env, ints, reals, &recipe)) return;
  es_status status;
  {
    const Ints at(env, offsets);
    const Memory planes[] = {{env, plane0, at.v[0], static_cast<jlong>(image.bytes[0])},
                             {env, plane1, at.v[1], static_cast<jlong>(image.bytes[1])},
                             {env, plane2, at.v[2], static_cast<jlong>(image.bytes[2])}};
    for (int i = 0; i < 3; ++i) {
      image.planes[i] = planes[i].data;
      if (planes[i].data) image.bytes[i] = planes[i].size;
    }
    const Memory out(env, output, output_offset, output_bytes, true),
        scratch = whole(env, workspace);
    const Memory pixels(env, mask, 0, INT64_MAX);
    es_selection selection = {mask_of(pixels, mask_width, mask_height), {}, {}};
    if (keep_and_fill) {
      env->GetByteArrayRegion(keep_and_fill, 0, 256, reinterpret_cast<jbyte *>(selection.keep));
      env->GetByteArrayRegion(keep_and_fill, 256, 3, reinterpret_cast<jbyte *>(selection.fill));
    }
    status = es_preprocess_masked(&image, &recipe, keep_and_fill ? &selection : nullptr, out.data,
                                  out.size, scratch.data, scratch.size, &error);
  }
  fine(env, status, error);
}

// One buffer over two that interleave their bytes (u v u v ...), starting at `first`; null if
// `second` is not one byte further on.
NATIVE(jobject, interleaved)(JNIEnv *env, jobject, jobject first, jint first_at, jobject second,
                             jint second_at, jint second_bytes) {
  uint8_t *a = static_cast<uint8_t *>(env->GetDirectBufferAddress(first));
  uint8_t *b = static_cast<uint8_t *>(env->GetDirectBufferAddress(second));
  if (!a || !b || a + first_at + 1 != b + second_at) return nullptr;
  return env->NewDirectByteBuffer(a + first_at, static_cast<jlong>(second_bytes) + 1);
}

NATIVE(void, dequantize)(JNIEnv *env, jobject, jobject data, jint offset, jint bytes, jint type,
                         jdouble scale, jint zero_point, jint count, jfloatArray values) {
  es_error error;
  es_status status;
  {
    const Memory memory(env, data, offset, bytes);
    const es_tensor tensor = tensor_of(memory, type, scale, zero_point);
    const Floats out(env, values);
    status = es_dequantize(&tensor, count < 0 ? SIZE_MAX : static_cast<size_t>(count), out.data,
                           out.bytes, &error);
  }
  fine(env, status, error);
}

NATIVE(void, classify)(JNIEnv *env, jobject, jobject data, jint offset, jint bytes, jint type,
                       jdouble scale, jint zero_point, jint classes, jint activation,
                       jfloatArray scores, jobject top, jint top_count) {
  es_error error;
  es_status status;
  {
    const Memory memory(env, data, offset, bytes);
    const es_tensor tensor = tensor_of(memory, type, scale, zero_point);
    const Floats out(env, scores);
    es_class *best = static_cast<es_class *>(env->GetDirectBufferAddress(top));
    status = es_classify(&tensor, classes, activation, out.data, out.bytes, best, top_count,
                         &error);
  }
  fine(env, status, error);
}

NATIVE(jint, measure)(JNIEnv *env, jobject, jobject data, jint offset, jint bytes, jint type,
                      jdouble scale, jint zero_point, jint size, jint activation, jdouble first,
                      jdouble step, jdouble share, jdoubleArray upper, jfloatArray mass,
                      jdoubleArray found) {
  es_error error;
  es_status status;
  es_quantity q = {};
  {
    const Memory memory(env, data, offset, bytes);
    const es_tensor tensor = tensor_of(memory, type, scale, zero_point);
    const Floats out(env, mass);
    const Bounds bounds(env, upper);
    status = es_measure(&tensor, size, activation, first, step, share, bounds.data, bounds.count,
                        out.data, out.bytes, &q, &error);
  }
  if (!fine(env, status, error)) return -1;
  const jdouble d[] = {q.expectation, q.mode, q.low, q.high};
  env->SetDoubleArrayRegion(found, 0, 4, d);
  return q.grade;
}

NATIVE(jint, grade)(JNIEnv *env, jobject, jdouble value, jdoubleArray upper) {
  es_error error;
  es_status status;
  int32_t grade = -1;
  {
    const Bounds bounds(env, upper);
    status = es_grade(value, bounds.data, bounds.count, &grade, &error);
  }
  fine(env, status, error);
  return grade;
}

// `workspace` null: the workspace's size only.
NATIVE(jlong, segment)(JNIEnv *env, jobject, jobject data, jint offset, jint bytes, jint type,
                       jdouble scale, jint zero_point, jint classes, jint width, jint height,
                       jint layout, jintArray ints, jdoubleArray reals, jbyteArray mask,
                       jlongArray counts, jobject workspace) {
  const es_placement placement = placement_of(env, ints, reals);
  es_error error;
  es_status status;
  size_t needed = 0;
  {
    const Memory memory(env, data, offset, bytes);
    const es_segmentation s{tensor_of(memory, type, scale, zero_point), classes, width, height,
                            layout};
    if (!workspace) {
      status = es_segment_workspace(&s, &placement, &needed, &error);
    } else {
      const Memory out(env, mask, 0, INT64_MAX, true), scratch = whole(env, workspace);
      jlong *pixels = env->GetLongArrayElements(counts, nullptr);
      static_assert(sizeof(jlong) == sizeof(int64_t), "");
      status = es_segment(&s, &placement, out.data, static_cast<size_t>(placement.image_width),
                          out.size, reinterpret_cast<int64_t *>(pixels),
                          env->GetArrayLength(counts), scratch.data, scratch.size, &error);
      env->ReleaseLongArrayElements(counts, pixels, 0);
    }
  }
  fine(env, status, error);
  return static_cast<jlong>(needed);
}

NATIVE(jlong, componentsWorkspace)(JNIEnv *env, jobject, jint width) {
  es_error error;
  size_t bytes = 0;
  fine(env, es_components_workspace(width, &bytes, &error), error);
  return static_cast<jlong>(bytes);
}

NATIVE(jint, components)(JNIEnv *env, jobject, jbyteArray pixels, jint width, jint height,
                         jint value, jint connectivity, jlong min_area, jobject boxes,
                         jint capacity, jobject workspace) {
  es_error error;
  es_status status;
  int32_t count = 0;
  {
    const Memory memory(env, pixels, 0, INT64_MAX), scratch = whole(env, workspace);
    const es_mask mask = mask_of(memory, width, height);
    es_box *found = static_cast<es_box *>(env->GetDirectBufferAddress(boxes));
    status = es_components(&mask, value, connectivity, min_area, found, capacity, &count,
                           scratch.data, scratch.size, &error);
  }
  fine(env, status, error);
  return count;
}

NATIVE(jlong, findCropsWorkspace)(JNIEnv *env, jobject, jint width) {
  es_error error;
  size_t bytes = 0;
  fine(env, es_find_crops_workspace(width, &bytes, &error), error);
  return static_cast<jlong>(bytes);
}

NATIVE(jint, findCrops)(JNIEnv *env, jobject, jbyteArray skin_pixels, jint skin_width,
                        jint skin_height, jbyteArray lesion_pixels, jint lesion_width,
                        jint lesion_height, jintArray ints, jdoubleArray reals, jobject boxes,
                        jint capacity, jobject workspace) {
  const Ints n(env, ints);
  const Reals r(env, reals);
  const es_crop_rule rule{n.v[0], n.v[1], n.v[2], n.v[3], r.v[0], r.v[1], r.v[2]};
  es_error error;
  es_status status;
  int32_t count = 0;
  {
    const Memory a(env, skin_pixels, 0, INT64_MAX), b(env, lesion_pixels, 0, INT64_MAX),
        scratch = whole(env, workspace);
    const es_mask skin = mask_of(a, skin_width, skin_height),
                  lesion = mask_of(b, lesion_width, lesion_height);
    es_box *found = static_cast<es_box *>(env->GetDirectBufferAddress(boxes));
    status = es_find_crops(&skin, &lesion, &rule, found, capacity, &count, scratch.data,
                           scratch.size, &error);
  }
  fine(env, status, error);
  return count;
}
