#include "check.h"
extern "C" {
es_status es_recipe_from_spec(const char *, size_t, es_recipe *, es_error *error) { return es::report(error, ES_NOT_HERE, "not yet"); }
es_status es_segment_workspace(const es_segmentation *, const es_placement *, size_t *, es_error *error) { return es::report(error, ES_NOT_HERE, "not yet"); }
es_status es_segment(const es_segmentation *, const es_placement *, uint8_t *, size_t, size_t, int64_t *, int32_t, void *, size_t, es_error *error) { return es::report(error, ES_NOT_HERE, "not yet"); }
es_status es_components_workspace(int32_t, size_t *, es_error *error) { return es::report(error, ES_NOT_HERE, "not yet"); }
es_status es_components(const es_mask *, int32_t, int32_t, int64_t, es_box *, int32_t, int32_t *, void *, size_t, es_error *error) { return es::report(error, ES_NOT_HERE, "not yet"); }
es_status es_find_crops_workspace(int32_t, size_t *, es_error *error) { return es::report(error, ES_NOT_HERE, "not yet"); }
es_status es_find_crops(const es_mask *, const es_mask *, const es_crop_rule *, es_box *, int32_t, int32_t *, void *, size_t, es_error *error) { return es::report(error, ES_NOT_HERE, "not yet"); }
}
