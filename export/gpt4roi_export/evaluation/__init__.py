"""How well a bundle answers, measured through the runtime on questions whose answers are known; trains nothing."""
