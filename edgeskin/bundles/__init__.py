"""Bundles: artifacts as a module that drops into an app, with a typed API and its own tests.

- `words`: names from the spec, made valid for each language.
- `bundle_api`: what the API of a model is, whatever the language.
- `golden_vectors`, `golden_files`: images, tensors and answers that a bundle tests itself by.
- `templating`: the templates in `templates/`, one for each generated file.
- `android_bundle`, `ios_bundle`, `linux_bundle`, listed in `platforms`: what goes into each.
- `bundling`: the verb, all of it into one folder, whole or not at all.
- `bundle_sizes`, `licence_list`, `bill`, `signing`: what is said of a bundle, and by whom.
- `bundle_check`, `bundle_diff`, `bundle_drift`: a bundle that is there already, by itself and
  beside an older one.
"""
