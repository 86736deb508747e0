//! The images that a subcommand works on: the files of Fashion-MNIST and its like, or pictures.

mod args;

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use anyhow::{Result, anyhow, ensure};
use vgg_wgpu::data::{self, BadPicture, Dataset, Found, ImageSet, PictureForm, Split};
use vgg_wgpu::train::Feed;

use super::common::say;
pub use args::{FitArg, SetArgs};

/// Bad pictures that are named on the terminal.
const NAMED: usize = 10;

/// Images that a network reads, on their way to it.
#[derive(Debug)]
pub enum Images {
    /// In memory.
    Whole(Split),
    /// Decoded as they are asked for.
    Read(Arc<dyn ImageSet>),
}

impl Images {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.feed().images()
    }

    /// For a trainer.
    pub fn feed(&self) -> Feed<'_> {
        match self {
            Self::Whole(split) => Feed::Whole(split),
            Self::Read(set) => Feed::Batches(Arc::clone(set)),
        }
    }

    /// The images, one at a time.
    pub fn set(&self) -> &dyn ImageSet {
        match self {
            Self::Whole(split) => split,
            Self::Read(set) => &**set,
        }
    }

    /// The class of each image.
    pub fn labels(&self) -> Vec<u32> {
        (0..self.len()).map(|i| self.set().label(i)).collect()
    }
}

/// A set of which no picture has been decoded yet.
pub enum Opened {
    Idx(Dataset),
    Pictures(Found),
}

/// A set of images to train with and one to measure with.
#[derive(Debug)]
pub struct Sets {
    /// What the set is called.
    pub name: String,
    /// Where it was found, in words.
    pub source: String,
    pub train: Images,
    pub test: Images,
    /// Images there are to train with, of which `train` may be a part.
    pub offered: usize,
    /// How pictures became images; of the IDX files none.
    pub form: Option<PictureForm>,
    /// Pictures that were passed over.
    pub bad: Vec<BadPicture>,
}

impl Opened {
    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Idx(dataset) => &dataset.classes,
            Self::Pictures(found) => &found.classes,
        }
    }

    /// True of pictures, which have yet to be made images.
    pub fn are_pictures(&self) -> bool {
        matches!(self, Self::Pictures(_))
    }

    /// Channels of the images; pictures have those that are `wanted`.
    pub fn channels(&self, wanted: Option<usize>) -> Result<usize> {
        match self {
            Self::Pictures(_) => Ok(wanted.unwrap_or(3)),
            Self::Idx(dataset) => {
                let channels = dataset.train.images.channels;
                let same = wanted.is_none_or(|wanted| wanted == channels);
                ensure!(same, "{dataset} of {channels} channels; --channels is for pictures");
                Ok(channels)
            }
        }
    }

    /// Makes images of pictures. `limit` is for those to train with: the first of them, after a shuffle
    /// by the seed if there is one.
    pub fn load(
        self,
        args: &SetArgs,
        form: PictureForm,
        limit: Option<usize>,
        (seed, shuffles): (u64, bool),
    ) -> Result<Sets> {
        let limit = limit.unwrap_or(usize::MAX);
        let mut found = match self {
            Self::Idx(Dataset { name, source, train, test, .. }) => {
                let offered = train.len();
                let train = match shuffles && limit < offered {
                    true => train.shuffled_subset(limit, seed),
                    false => train.take(limit),
                };
                let (train, test) = (Images::Whole(train), Images::Whole(test));
                let (source, bad) = (source.to_string(), Vec::new());
                return Ok(Sets { name, source, train, test, offered, form: None, bad });
            }
            Self::Pictures(found) => found,
        };
        let source = args.place();
        if found.validation.is_none() && found.test.is_none() {
            found.set_aside(args.val(None), seed);
        }
        let test = found.validation.or(found.test).unwrap_or_default();
        let mut train = found.train;
        let offered = train.len();
        if shuffles && limit < train.len() {
            let order = data::permutation(train.len(), seed, 0);
            train = order.iter().take(limit).map(|&i| train[i as usize].clone()).collect();
        }
        train.truncate(limit);
        let (images, bad) = args.read(form, vec![train, test], found.bad)?;
        let [train, test] = <[Images; 2]>::try_from(images)
            .map_err(|images| anyhow!("{} parts of 2 were read", images.len()))?;
        // Those that cannot be read are not offered; of more than were wanted it is not known.
        let offered = if limit < offered { offered } else { train.len() };
        let (name, form) = (found.name, Some(form));
        Ok(Sets { name, source, train, test, offered, form, bad })
    }
}

impl Display for Sets {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let test = self.test.len();
        write!(f, "{} {}: {} train and {test} test images", self.name, self.source, self.offered)
    }
}

/// Tells of pictures that were passed over.
pub fn say_bad(bad: &[BadPicture]) -> Result<()> {
    if !bad.is_empty() {
        let (count, list) = (bad.len(), listed(bad));
        say(format!("skipped   {count} pictures that cannot be read:{list}"))?;
    }
    Ok(())
}

/// The first of them, a line each.
fn listed(bad: &[BadPicture]) -> String {
    let mut list: String = bad.iter().take(NAMED).map(|bad| format!("\n  {bad}")).collect();
    if bad.len() > NAMED {
        list.push_str(&format!("\n  and {} more", bad.len() - NAMED));
    }
    list
}
