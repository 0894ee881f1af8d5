"""NanoDet, which proposes boxes, converted from a TensorFlow.js package; knows neither torch nor TensorFlow."""
