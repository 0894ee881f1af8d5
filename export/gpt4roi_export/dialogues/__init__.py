"""Questions and answers about regions, written from known facts; knows no picture and no model."""
