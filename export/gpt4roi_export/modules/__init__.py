"""The models as small torch modules, in our words; knows no file and no checkpoint's names."""
