//! Makes a folder of pictures to try `train --data` with: three classes of Fashion-MNIST's images embedded
//! in the program, coloured, in mixed sizes and formats, each somewhere on a plain ground.
//!
//! ```text
//! cargo run --release --example make_pictures -- FOLDER [PICTURES OF EACH CLASS]
//! ```

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use image::imageops::{self, FilterType};
use image::{GrayImage, Rgb, RgbImage};
use vgg_wgpu::data::{self, Images};

/// The classes taken, by their place in Fashion-MNIST.
const CLASSES: [usize; 3] = [1, 8, 9];
/// Pictures of each, without a number.
const EACH: usize = 80;
const FORMATS: [&str; 3] = ["png", "jpg", "webp"];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (folder, each) = match arguments.as_slice() {
        [folder] => (Path::new(folder), EACH),
        [folder, each] => (Path::new(folder), each.parse()?),
        _ => return Err("usage: make_pictures FOLDER [PICTURES OF EACH CLASS]".into()),
    };
    let set = data::embedded()?;
    let mut random = fastrand::Rng::with_seed(0);
    for class in CLASSES {
        let name = set.classes[class].to_lowercase().replace([' ', '/'], "-");
        let folder = folder.join(&name);
        fs::create_dir_all(&folder)?;
        let of_class = (0..set.train.len()).filter(|&i| set.train.labels[i] as usize == class);
        for (number, index) in of_class.take(each).enumerate() {
            let format = FORMATS[number % FORMATS.len()];
            let picture =
                on_ground(&set.train.images, index, &mut random).ok_or("no such image")?;
            picture.save(folder.join(format!("{name}-{number:03}.{format}")))?;
        }
    }
    println!("{} classes of {each} pictures in {}", CLASSES.len(), folder.display());
    Ok(())
}

/// Image `index`, enlarged, in a colour, somewhere on a ground of another.
fn on_ground(images: &Images, index: usize, random: &mut fastrand::Rng) -> Option<RgbImage> {
    let (height, width) = (images.height as u32, images.width as u32);
    let image = GrayImage::from_raw(width, height, images.image(index)?.to_vec())?;
    let side = random.u32(32..=56);
    let image = imageops::resize(&image, side, side, FilterType::Triangle);
    let (width, height) = (side + random.u32(4..=20), side + random.u32(4..=20));
    let (left, above) = (random.u32(..=width - side), random.u32(..=height - side));
    let ground = [(); 3].map(|()| random.u8(10..70));
    let colour = [(); 3].map(|()| random.u8(150..=255));
    Some(RgbImage::from_fn(width, height, |x, y| {
        let inside = (left..left + side).contains(&x) && (above..above + side).contains(&y);
        let light = if inside { image.get_pixel(x - left, y - above).0[0] } else { 0 };
        let share = f32::from(light) / 255.0;
        let mixed = |i: usize| {
            (f32::from(ground[i]) + share * (f32::from(colour[i]) - f32::from(ground[i]))) as u8
        };
        Rgb([mixed(0), mixed(1), mixed(2)])
    }))
}
