"""Will a bundle fit a device? Predicted from headers alone, part by part; no engine is loaded."""
