//! Flags of what is done at random to the images that a network is trained with.

use clap::Args;
use serde::Serialize;
use vgg_wgpu::train::Augmentation;

// Plain comments on this group: clap would take doc comments for the help of the subcommand.

// Random changes of training images.
#[derive(Debug, Clone, Copy, Args, Serialize)]
#[command(next_help_heading = "Augmentation")]
pub struct AugmentArgs {
    /// Flip an image left to right with this chance; --flip alone: 0.5
    #[arg(
        long, value_name = "CHANCE", num_args = 0..=1, default_value_t = 0.0,
        default_missing_value = "0.5", hide_default_value = true, value_parser = share
    )]
    flip: f32,
    /// Shift an image by up to so many pixels of the network's input each way; black comes in
    #[arg(
        long, value_name = "PIXELS", default_value_t = 0, hide_default_value = true,
        value_parser = pixels
    )]
    crop_padding: u32,
    /// Resize a crop of the image, of this share of its area to all of it and of sides 3:4 to 4:3
    #[arg(
        long, value_name = "LEAST", default_value_t = 0.0, hide_default_value = true,
        value_parser = share
    )]
    resized_crop: f32,
    /// Turn an image by up to so many degrees either way; corners become black
    #[arg(
        long, value_name = "DEGREES", default_value_t = 0.0, hide_default_value = true,
        value_parser = degrees
    )]
    rotate: f32,
    /// Make an image darker or brighter, by a factor of up to 1 - SHARE or 1 + SHARE
    #[arg(
        long, value_name = "SHARE", default_value_t = 0.0, hide_default_value = true,
        value_parser = share
    )]
    brightness: f32,
    /// Move an image's values from or to the middle grey, by a factor of up to 1 - SHARE or 1 + SHARE
    #[arg(
        long, value_name = "SHARE", default_value_t = 0.0, hide_default_value = true,
        value_parser = share
    )]
    contrast: f32,
    /// Cover a square of this side, anywhere
    #[arg(
        long, value_name = "PIXELS", default_value_t = 0, hide_default_value = true,
        value_parser = pixels
    )]
    cutout: u32,
    /// Mix images and labels in pairs, by shares from Beta(ALPHA, ALPHA), such as 0.2
    #[arg(
        long, value_name = "ALPHA", default_value_t = 0.0, hide_default_value = true,
        value_parser = alpha
    )]
    mixup: f32,
}

impl AugmentArgs {
    /// What the flags ask for.
    pub fn of(&self) -> Augmentation {
        Augmentation {
            flip: self.flip,
            crop_padding: self.crop_padding,
            resized_crop: self.resized_crop,
            rotation: self.rotate,
            brightness: self.brightness,
            contrast: self.contrast,
            cutout: self.cutout,
            mixup: self.mixup,
        }
    }

    /// True without any of the flags.
    pub fn is_none(&self) -> bool {
        self.of().is_none()
    }
}

fn within(text: &str, most: f32, expected: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=most).contains(&value) => Ok(value),
        _ => Err(format!("expected {expected}")),
    }
}

fn share(text: &str) -> Result<f32, String> {
    within(text, 1.0, "a number from 0 to 1, such as 0.3")
}

fn degrees(text: &str) -> Result<f32, String> {
    within(text, 180.0, "degrees from 0 to 180, such as 15")
}

fn alpha(text: &str) -> Result<f32, String> {
    within(text, 100.0, "a number from 0 to 100, such as 0.2")
}

fn pixels(text: &str) -> Result<u32, String> {
    let most = 1 << 15;
    let pixels: Option<u32> = text.parse().ok().filter(|pixels| *pixels <= most);
    pixels.ok_or_else(|| format!("expected a whole number of pixels, 0 to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_within_what_makes_sense() {
        assert_eq!((share("0"), share("1"), degrees("180")), (Ok(0.0), Ok(1.0), Ok(180.0)));
        assert_eq!((pixels("4"), alpha("0.2")), (Ok(4), Ok(0.2)));
        for bad in ["", "-0.1", "1.01", "NaN", "inf", "some"] {
            assert!(share(bad).is_err(), "{bad}");
        }
        assert!(degrees("181").is_err() && alpha("-1").is_err() && alpha("1e9").is_err());
        assert!(pixels("-1").is_err() && pixels("4.5").is_err() && pixels("32769").is_err());
    }
}
