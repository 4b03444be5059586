"""TFLite: `constants` before litert-torch converts, `xnnpack` behind it."""
