from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec.structs import replace as changed

from gpt4roi_export.pictures.index import Boxed, Photo, read_index
from gpt4roi_export.scenes.choosing import SIZES, Stock, choose_ground, choose_photo, choose_sprites, stock_of
from gpt4roi_runtime.errors import ImageError, InputError
from tests.export.scenes.conftest import thing


@pytest.fixture
def train(picture_folder: Path) -> Stock:
    return stock_of(picture_folder, read_index(picture_folder), "train")


def test_splits_share_no_object_and_no_backdrop(picture_folder: Path) -> None:
    train, trained, held_out = (
        stock_of(picture_folder, read_index(picture_folder), split)
        for split in ("train", "trained-objects", "held-out")
    )
    assert {one.named.name for one in held_out.cutouts} == {"yak"}
    assert not set(train.cutouts) & set(held_out.cutouts)
    assert not set(train.photos) & set(held_out.photos)
    assert not set(train.backdrops) & (set(held_out.backdrops) | set(trained.backdrops))
    assert trained.cutouts == train.cutouts
    assert trained.photos == ()


def test_another_split_or_an_empty_one_is_refused(picture_folder: Path) -> None:
    pictures = read_index(picture_folder)
    with pytest.raises(InputError, match="no split 'test'"):
        stock_of(picture_folder, pictures, "test")
    trained_only = tuple(one for one in pictures.cutouts if one.split == "train")
    emptied = type(pictures)(trained_only, pictures.photos, pictures.backdrops)
    with pytest.raises(InputError, match="no cut-outs"):
        stock_of(picture_folder, emptied, "held-out")


def test_names_repeat_often_enough_to_be_counted(train: Stock) -> None:
    # A stock of many names, so that they hardly repeat by accident.
    many = replace(
        train,
        cutouts=tuple(
            type(one)(one.path, thing(f"{one.named.name} {number}"), "pics", "MIT", one.photographic, "train")
            for one in train.cutouts
            for number in range(100)
        ),
        photos=(),
    )
    n_repeating = n_large = 0
    for seed in range(400):
        names = Counter(sprite.named.name for sprite in choose_sprites(many, np.random.default_rng(seed)))
        if names.total() >= 3:
            n_large += 1
            n_repeating += max(names.values()) >= 2
    assert n_large > 150
    assert 0.25 <= n_repeating / n_large <= 0.5


def test_one_to_five_objects(train: Stock) -> None:
    counts = {len(choose_sprites(train, np.random.default_rng(seed))) for seed in range(60)}
    assert counts == {1, 2, 3, 4, 5}


def test_grounds_have_the_sizes(train: Stock) -> None:
    shapes = {choose_ground(train, np.random.default_rng(seed)).shape for seed in range(60)}
    assert shapes == {(height, width, 3) for width, height in SIZES}


def test_boxes_of_photos_follow_the_crop_and_the_mirror(train: Stock) -> None:
    for seed in range(20):
        picture, facts, order = choose_photo(train, np.random.default_rng(seed))
        assert max(picture.shape) == 640
        assert order == (0,)
        (region,) = facts
        bright = (picture.mean(axis=-1) > picture.mean()).nonzero()
        there = bright[1].min(), bright[0].min(), bright[1].max() + 1, bright[0].max() + 1
        width = region.box[2] - region.box[0]
        assert np.abs(np.array(there) - region.box).max() <= 0.05 * width + 8  # JPEG and resampling soften the edge
        assert (region.name, region.color, region.sure) == ("box 0", None, True)


def test_what_is_practised_is_trained_on_and_asked_about_nowhere(picture_folder: Path) -> None:
    pictures = read_index(picture_folder)
    practised = changed(
        pictures,
        cutouts=(*pictures.cutouts, changed(pictures.cutouts[0], named=thing("emu"), split="practice")),
        photos=tuple(changed(photo, split="practice") for photo in pictures.photos),
    )
    stocks = {split: stock_of(picture_folder, practised, split) for split in ("train", "trained-objects", "held-out")}
    assert {split for split, stock in stocks.items() if "emu" in {one.named.name for one in stock.cutouts}} == {"train"}
    assert {split for split, stock in stocks.items() if stock.photos} == {"train"}


def test_regions_of_a_photo_keep_their_names(train: Stock, tmp_path: Path) -> None:
    photo = np.zeros((100, 200, 3), np.uint8)
    photo[20:80, 20:80] = (0, 0, 255)
    photo[20:80, 120:180] = (0, 255, 0)
    cv2.imwrite(str(tmp_path / "two.jpg"), photo)
    regions = (Boxed(thing("red one"), (0.1, 0.2, 0.4, 0.8), "red"), Boxed(thing("green one"), (0.6, 0.2, 0.9, 0.8)))
    stock = replace(train, folder=tmp_path, photos=(Photo("two.jpg", regions, "pics", "MIT", "train"),))
    for seed in range(10):
        picture, facts, order = choose_photo(stock, np.random.default_rng(seed))
        for region, number in zip(facts, order, strict=True):
            x, y = int((region.box[0] + region.box[2]) / 2), int((region.box[1] + region.box[3]) / 2)
            assert (region.name, region.color) == (regions[number].named.name, regions[number].color)
            assert (picture[y, x].argmax() == 0) == (region.name == "red one")


def test_a_missing_picture_is_told(train: Stock, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot read"):
        choose_sprites(replace(train, folder=tmp_path), np.random.default_rng(0))
