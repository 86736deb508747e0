#!/usr/bin/env python3
"""Writes the pictures beside this file with Pillow 13: kinds that the image crate does not write."""

from pathlib import Path

from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parent


def halves(left=(200, 30, 30), right=(30, 30, 200)):
    """24 columns and 16 rows, the left half in one colour, the right one in another."""
    picture = Image.new("RGB", (24, 16), left)
    ImageDraw.Draw(picture).rectangle([12, 0, 24, 16], fill=right)
    return picture


def main():
    jpeg = {"quality": 95, "subsampling": 0}
    picture = halves()
    picture.convert("CMYK").save(HERE / "cmyk.jpg", **jpeg)
    picture.save(HERE / "progressive.jpg", progressive=True, **jpeg)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter clockwise
    picture.save(HERE / "rotated.jpg", exif=turned, **jpeg)
    green = halves((0, 255, 0), (0, 255, 0))
    animated = {"save_all": True, "append_images": [green], "duration": 100}
    picture.save(HERE / "animated.webp", lossless=True, **animated)
    picture.save(HERE / "animated.png", **animated)
    picture.save(HERE / "animated.gif", **animated)
    picture.convert("LA").save(HERE / "grey_alpha.png")
    picture.quantize(8).save(HERE / "palette.png")
    Image.new("I;16", (24, 16), 51400).save(HERE / "deep.png")


if __name__ == "__main__":
    main()
