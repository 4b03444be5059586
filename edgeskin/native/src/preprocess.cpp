// es_preprocess and es_preprocess_masked: the parts put together.
#include "output.h"

namespace {

// The resized pixels that the output shows, and where in the output they begin.
struct View {
  es::Target target;
  int32_t left, top;
};

View view_of(const es_placement &p) {
  const int32_t left = p.left > 0 ? p.left : 0, top = p.top > 0 ? p.top : 0;
  const int32_t right = p.left + p.width < p.resized_width ? p.left + p.width : p.resized_width;
  const int32_t bottom = p.top + p.height < p.resized_height ? p.top + p.height : p.resized_height;
  return {{left, top, right - left, bottom - top}, left - p.left, top - p.top};
}

es::Resizer resizer(const es::Input &input, const es_recipe &recipe,
                    const es_placement &placement) {
  return {input, placement, recipe.filter, view_of(placement).target};
}

// Enough with a selection and without one: rows that lie in the image need no scratch without.
size_t workspace_of(const es_image &image, const es_recipe &recipe, const es_placement &placement) {
  const es_selection any = {};
  const bool grey = recipe.channels == ES_GREY;
  const size_t plain = resizer({image, grey, nullptr}, recipe, placement).workspace_bytes();
  const size_t masked = resizer({image, grey, &any}, recipe, placement).workspace_bytes();
  return plain > masked ? plain : masked;
}

}  // namespace

extern "C" {

es_status es_preprocess_workspace(const es_image *image, const es_recipe *recipe, size_t *bytes,
                                  es_error *error) {
  es_placement placement;
  ES_TRY(es_place(image, recipe, &placement, error));
  ES_NEED(bytes);
  *bytes = workspace_of(*image, *recipe, placement);
  return es::ok(error);
}

es_status es_preprocess(const es_image *image, const es_recipe *recipe, void *output,
                        size_t output_bytes, void *workspace, size_t workspace_bytes,
                        es_error *error) {
  return es_preprocess_masked(image, recipe, nullptr, output, output_bytes, workspace,
                              workspace_bytes, error);
}

es_status es_preprocess_masked(const es_image *image, const es_recipe *recipe,
                               const es_selection *selection, void *output, size_t output_bytes,
                               void *workspace, size_t workspace_bytes, es_error *error) {
  es_placement placement;
  ES_TRY(es_place(image, recipe, &placement, error));
  ES_TRY(es::check_image(image, true, error));
  ES_TRY(es::check_selection(selection, *image, error));
  size_t needed = 0;
  ES_TRY(es_output_bytes(recipe, &needed, error));
  ES_NEED(output);
  if (output_bytes < needed)
    return es::report(error, ES_BUFFER_TOO_SMALL, "the output has %zu bytes, %zu are needed",
                      output_bytes, needed);
  ES_TRY(es::check_workspace(workspace, workspace_bytes, workspace_of(*image, *recipe, placement),
                             error));
  const View view = view_of(placement);
  const es::Input input = {*image, recipe->channels == ES_GREY, selection};
  const bool blue_first = image->format == ES_BGR || image->format == ES_BGRA;
  const es::Output out(*recipe, output, es::Source::channels(input), blue_first, view.left,
                       view.top);
  if (recipe->fit == ES_LETTERBOX)
    out.pad({view.left, view.top, view.target.width, view.target.height});
  resizer(input, *recipe, placement).run(workspace, out);
  return es::ok(error);
}

}  // extern "C"
