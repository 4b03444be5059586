// Which box of the upright image is resized to what, and which part of that is the output.
#include "check.h"

namespace {

// Scaled and rounded half up, never below one pixel.
int32_t scaled(double length, double scale) {
  const double rounded = length * scale + 0.5;
  return rounded < 1.0 ? 1 : static_cast<int32_t>(rounded);
}

es_status check_crop(const float box[4], int32_t width, int32_t height, es_error *error) {
  const bool inside = box[0] >= 0 && box[1] >= 0 && box[2] <= static_cast<float>(width) &&
                      box[3] <= static_cast<float>(height) && box[0] < box[2] && box[1] < box[3];
  if (inside) return ES_OK;  // false for NaN, too
  return es::report(error, ES_BAD_CROP,
                    "the crop (%g, %g, %g, %g) is empty or outside the upright image of %d x %d",
                    static_cast<double>(box[0]), static_cast<double>(box[1]),
                    static_cast<double>(box[2]), static_cast<double>(box[3]), width, height);
}

// Rounded towards zero: an odd border is wider at the right and bottom.
int32_t half(int32_t difference) { return difference / 2; }

void fit(const es_recipe &recipe, double box_width, double box_height, es_placement &p) {
  p.resized_width = p.width = recipe.width;
  p.resized_height = p.height = recipe.height;
  p.left = p.top = 0;
  if (recipe.fit == ES_SQUASH) return;
  double scale;
  if (recipe.fit == ES_LETTERBOX) {
    const double x = recipe.width / box_width, y = recipe.height / box_height;
    scale = x < y ? x : y;
  } else {
    scale = recipe.resize_to / (box_width < box_height ? box_width : box_height);
  }
  p.resized_width = scaled(box_width, scale);
  p.resized_height = scaled(box_height, scale);
  p.left = half(p.resized_width - p.width);
  p.top = half(p.resized_height - p.height);
}

}  // namespace

extern "C" es_status es_place(const es_image *image, const es_recipe *recipe,
                              es_placement *placement, es_error *error) {
  ES_TRY(es::check_image(image, false, error));
  ES_TRY(es::check_recipe(recipe, error));
  ES_NEED(placement);
  const int32_t width = es::upright_width(*image), height = es::upright_height(*image);
  es_placement p = {};
  p.image_width = image->width;
  p.image_height = image->height;
  p.orientation = image->orientation;
  const float *crop = recipe->crop;
  const bool whole = crop[0] == 0 && crop[1] == 0 && crop[2] == 0 && crop[3] == 0;
  for (int i = 0; i < 4; ++i) p.crop[i] = crop[i];
  if (whole) {
    p.crop[2] = static_cast<float>(width);
    p.crop[3] = static_cast<float>(height);
  }
  ES_TRY(check_crop(p.crop, width, height, error));
  const double box_width = static_cast<double>(p.crop[2]) - static_cast<double>(p.crop[0]);
  const double box_height = static_cast<double>(p.crop[3]) - static_cast<double>(p.crop[1]);
  // An extreme shape could scale past what an int32 holds.
  const double longer = box_width > box_height ? box_width : box_height;
  const double shorter = box_width > box_height ? box_height : box_width;
  if (recipe->fit == ES_SHORTEST_EDGE && longer / shorter * recipe->resize_to > 1e9)
    return es::report(error, ES_BAD_CROP,
                      "the crop of %g x %g is too long and thin to resize to %d", box_width,
                      box_height, recipe->resize_to);
  fit(*recipe, box_width, box_height, p);
  *placement = p;
  return es::ok(error);
}
